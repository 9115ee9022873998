/** The broker did what it must not do. Ends a run. */
export class Violation extends Error {
  /** The number of the message concerned; 0: none. */
  readonly about: number;

  constructor(text: string, about = 0) {
    super(text);
    this.name = "Violation";
    this.about = about;
  }
}

/** Throws unless `isTrue`. `text` is called only then. */
export function check(isTrue: boolean, text: () => string, about = 0): void {
  if (!isTrue) throw new Violation(text(), about);
}
