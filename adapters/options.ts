/**
 * Checks objects of options: an unknown name is an error and is never ignored.
 *
 * A broker that ignored `autenticate` would look protected and accept every client.
 */
import { unknownName } from "../core/mod.ts";
import { checkObject } from "./checks.ts";

/** All names of a type. A name that is missing here does not compile. */
export type Names<T> = Readonly<Record<keyof T, true>>;

/**
 * Checks that an object has only these names. Errors name the object by `field`, except for an argument
 * called `options`. `advice` gives a replacement for a name that other libraries use; null: none.
 */
export function checkOptions<T extends object>(
  field: string,
  value: unknown,
  names: Names<T>,
  advice: (name: string) => string | null = () => null,
): asserts value is T {
  checkObject(field, value);
  const prefix = field === "options" ? "" : `${field}.`;
  // This includes inherited names, such as those of `Object.create(defaults)`.
  for (const name in value) {
    if (Object.hasOwn(names, name)) continue;
    const given = (value as Readonly<Record<string, unknown>>)[name];
    throw unknownName(prefix, name, given, Object.keys(names), advice(name));
  }
}

/** The values of `options` with these names, inherited or not. */
export function picked<T extends object>(options: T, names: Names<T>): T {
  const given = (Object.keys(names) as (keyof T)[]).filter((name) => options[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, options[name]])) as T;
}
