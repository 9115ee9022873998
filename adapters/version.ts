/** The version of this package. It is in a module, because reading a file needs permission on Deno. A test compares it. */
export const version: string = "0.1.0";
