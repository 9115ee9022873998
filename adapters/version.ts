/** The version of this package, in a module of its own: a file would need leave to be read. A test compares. */
export const version: string = "0.1.0";
