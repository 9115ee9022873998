/** The part of Deno's interface that is used here. */
export interface DenoAddress {
  readonly hostname: string;
  readonly port: number;
}

export interface DenoConn {
  readonly remoteAddr: DenoAddress;
  /** Returns how many bytes were read; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Returns how many bytes were written, perhaps not all. */
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
