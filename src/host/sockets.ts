/** A stream between a guest and a program on the host. */
export interface HostSocket {
  /** Must be called at once, and once: what arrives before is kept. Not called from inside other methods. */
  listen(events: HostSocketEvents): void;
  /** Settles when the host has taken the bytes, which must stay as they are. Never rejects. */
  write(bytes: Uint8Array): Promise<void>;
  /** The guest sends no more. */
  end(): void;
  /** Nothing arrives until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends both ways at once. Legal again and again. */
  destroy(): void;
}

export interface HostSocketEvents {
  /** The bytes are the listener's to keep. */
  data(bytes: Uint8Array): void;
  /** The program sends no more. */
  ended(): void;
  /** It is gone; comes last. */
  closed(): void;
}

/** A program on the host asks for a connection to a port of the guest. */
export interface ConnectionWish {
  readonly port: number;
  readonly socket: HostSocket;
  /** Says to the program that it is connected, from a port that the host is said to have. */
  accepted(hostPort: number): void;
}

/** What a guest's socket device has on the host's side. */
export interface SocketPort {
  /** A guest connects to a port of the host; undefined: nobody listens there. Never rejects. */
  connect(port: number): Promise<HostSocket | undefined>;
  /** Called once, before anything else. `wish` is not called from inside other methods. */
  listen(wish: (wish: ConnectionWish) => void): void;
  close(): void;
}
