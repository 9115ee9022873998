/**
 * Finds the place at which a text stops being JSON.
 *
 * The message of `JSON.parse` differs between runtimes and quotes the text around the mistake. In a configuration
 * file that text may be a password.
 */

export interface JsonFault {
  /** Both count from 1; a column is a character. */
  readonly line: number;
  readonly column: number;
}

/** The place of the first character that is not allowed, or of the end of the text; null: the text is JSON, RFC 8259. */
export function jsonFault(text: string): JsonFault | null {
  const at = new Scanner(text).faultAt();
  if (at < 0) return null;
  const lines = text.slice(0, at).split(/\r\n|\n|\r/);
  return { line: lines.length, column: Array.from(lines.at(-1)!).length + 1 };
}

/** Scans without recursion, because brackets may be nested as deep as the text is long. */
class Scanner {
  readonly #text: string;
  #at = 0;
  /** For each open bracket, the bracket that closes it. */
  readonly #closers: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  faultAt(): number {
    if (!this.#scan()) return this.#at;
    this.#skip(SPACE);
    return this.#at === this.#text.length ? -1 : this.#at;
  }

  /** Leaves `#at` at the end of the value, or at the fault. */
  #scan(): boolean {
    for (;;) {
      this.#skip(SPACE);
      const opener = this.#text[this.#at];
      if (opener === "{" || opener === "[") {
        this.#at++;
        this.#closers.push(opener === "{" ? "}" : "]");
        this.#skip(SPACE);
        if (this.#text[this.#at] !== this.#closers.at(-1)) {
          if (opener === "{" && !this.#scanName()) return false;
          continue;
        }
      } else if (!this.#scanScalar()) return false;
      // First the brackets that close here, then a comma.
      for (;;) {
        this.#skip(SPACE);
        const closer = this.#closers.at(-1);
        if (closer === undefined) return true;
        const next = this.#text[this.#at];
        if (next === closer) {
          this.#at++;
          this.#closers.pop();
          continue;
        }
        if (next !== ",") return false;
        this.#at++;
        if (closer === "}" && !this.#scanName()) return false;
        break;
      }
    }
  }

  /** A name and its colon. */
  #scanName(): boolean {
    this.#skip(SPACE);
    if (this.#text[this.#at] !== '"' || !this.#scanText()) return false;
    this.#skip(SPACE);
    if (this.#text[this.#at] !== ":") return false;
    this.#at++;
    return true;
  }

  #scanScalar(): boolean {
    if (this.#text[this.#at] === '"') return this.#scanText();
    for (const word of WORDS) {
      if (this.#text[this.#at] === word[0]) return this.#scanWord(word);
    }
    return this.#scanNumber();
  }

  #scanWord(word: string): boolean {
    for (const letter of word) {
      if (this.#text[this.#at] !== letter) return false;
      this.#at++;
    }
    return true;
  }

  #scanText(): boolean {
    this.#at++;
    for (;;) {
      this.#skip(CHARACTERS);
      if (this.#text[this.#at] === '"') {
        this.#at++;
        return true;
      }
      if (this.#text[this.#at] !== "\\") return false;
      this.#at++;
      const isUnicode = this.#text[this.#at] === "u";
      if (!isUnicode && !this.#skip(ESCAPED)) return false;
      if (!isUnicode) continue;
      this.#at++;
      for (let n = 0; n < 4; n++) if (!this.#skip(HEX_DIGIT)) return false;
    }
  }

  #scanNumber(): boolean {
    if (this.#text[this.#at] === "-") this.#at++;
    if (this.#text[this.#at] === "0") this.#at++;
    else if (!this.#skip(DIGITS)) return false;
    if (this.#text[this.#at] === ".") {
      this.#at++;
      if (!this.#skip(DIGITS)) return false;
    }
    if (!this.#skip(EXPONENT)) return true;
    this.#skip(SIGN);
    return this.#skip(DIGITS);
  }

  /** Skips the characters that the pattern matches here; false: it matches none. */
  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const length = pattern.exec(this.#text)?.[0].length ?? 0;
    this.#at += length;
    return length > 0;
  }
}

const WORDS = ["true", "false", "null"] as const;
const SPACE = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a JSON string must not contain them.
const CHARACTERS = /[^"\\\u0000-\u001f]*/y;
const ESCAPED = /["\\/bfnrt]/y;
const HEX_DIGIT = /[0-9A-Fa-f]/y;
const DIGITS = /[0-9]+/y;
const EXPONENT = /[eE]/y;
const SIGN = /[+-]/y;
