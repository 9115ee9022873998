/** As much of Deno's interface as is used here. */
export interface DenoAddress {
  readonly hostname: string;
  readonly port: number;
}

export interface DenoConn {
  readonly remoteAddr: DenoAddress;
  /** How many bytes were read; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** How many bytes were written: maybe not all. */
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay(isOn: boolean): void;
  setKeepAlive(isOn: boolean): void;
}

export interface DenoListener {
  readonly addr: DenoAddress;
  accept(): Promise<DenoConn>;
  close(): void;
}

export interface DenoApi {
  listen(options: { hostname: string; port: number }): DenoListener;
}

export const deno: DenoApi = (globalThis as unknown as { readonly Deno: DenoApi }).Deno;
