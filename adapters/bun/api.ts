/** The part of Bun's interface that is used here. */
export interface BunSocket<Data> {
  data: Data;
  readonly remoteAddress: string | undefined;
  readonly remotePort?: number;
  /** Returns how many bytes were written; the caller writes the others again. Below 0: the socket is closed. */
  write(bytes: Uint8Array): number;
  end(): void;
  /** Ends the side that writes. Reading continues. */
  shutdown(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  setNoDelay?(isOn: boolean): void;
  setKeepAlive?(isOn: boolean): void;
}

export interface BunWebSocket<Data> {
  data: Data;
  readonly remoteAddress: string;
  readonly readyState: number;
  /** 0: the message was dropped. Below 0: a copy of it is queued, and `drain` will be called. */
  send(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  close(code?: number): void;
  terminate(): void;
}

export interface BunListener {
  readonly hostname: string;
  readonly port: number;
  stop(closesActive?: boolean): void;
}

export interface BunServer extends BunListener {
  upgrade(request: Request, options: { headers?: Record<string, string>; data: unknown }): boolean;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
}

export interface BunApi {
  listen<Data>(options: {
    hostname: string;
    port: number;
    allowHalfOpen: boolean;
    socket: {
      open(socket: BunSocket<Data>): void;
      data(socket: BunSocket<Data>, chunk: Uint8Array): void;
      drain(socket: BunSocket<Data>): void;
      /** The peer writes no more. */
      end(socket: BunSocket<Data>): void;
      close(socket: BunSocket<Data>, error?: Error): void;
      error(socket: BunSocket<Data>, error: Error): void;
    };
  }): BunListener;
  serve<Data>(options: {
    hostname: string;
    port: number;
    /** Whether the response to a failed request contains the stack. */
    development: boolean;
    /** In seconds, at most 255. */
    idleTimeout: number;
    fetch(request: Request, server: BunServer): Response | undefined;
    websocket: {
      maxPayloadLength: number;
      backpressureLimit: number;
      closeOnBackpressureLimit: boolean;
      idleTimeout: number;
      sendPings: boolean;
      perMessageDeflate: boolean;
      open(socket: BunWebSocket<Data>): void;
      message(socket: BunWebSocket<Data>, message: string | Uint8Array): void;
      drain(socket: BunWebSocket<Data>): void;
      close(socket: BunWebSocket<Data>): void;
    };
  }): BunServer;
}

export const bun: BunApi = (globalThis as unknown as { readonly Bun: BunApi }).Bun;
