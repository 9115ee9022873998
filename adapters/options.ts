/**
 * Objects of options: a name that is not one of theirs is told, never passed over.
 *
 * A broker that passed over `autenticate` would look guarded and let everybody in.
 */
import { unknownName } from "../core/mod.ts";
import { checkObject } from "./checks.ts";

/** Every name of a type: a name that is added to the type alone does not compile. */
export type Names<T> = Readonly<Record<keyof T, true>>;

/**
 * An object with no other names than these. `field` names the object, and is left out before the names of an argument
 * called `options`. `advice` says what to use instead of a name that other libraries have; null: nothing.
 */
export function checkOptions<T extends object>(
  field: string,
  value: unknown,
  names: Names<T>,
  advice: (name: string) => string | null = () => null,
): asserts value is T {
  checkObject(field, value);
  const prefix = field === "options" ? "" : `${field}.`;
  // Inherited names too, such as those of `Object.create(defaults)`.
  for (const name in value) {
    if (Object.hasOwn(names, name)) continue;
    const given = (value as Readonly<Record<string, unknown>>)[name];
    throw unknownName(prefix, name, given, Object.keys(names), advice(name));
  }
}

/** What `options` has under these names, inherited or not. */
export function picked<T extends object>(options: T, names: Names<T>): T {
  const given = (Object.keys(names) as (keyof T)[]).filter((name) => options[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, options[name]])) as T;
}
