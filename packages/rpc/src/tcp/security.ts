/**
 * What may lie between a wire and its TCP connection, as configured. Each field is what the
 * operator wrote; what is in the files is read when a server or client starts.
 */

/** A file of keys or certificates. */
export interface TlsStore {
  readonly path: string;
  readonly type: "JKS" | "PKCS12" | "PEM";
  readonly password?: string;
  /** PEM only: the file of the private key, when it is not in `path` itself. */
  readonly keyPath?: string;
}

/** Java's names: "TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256". Empty `include` is all there are. */
export interface TlsChoice {
  readonly includeProtocols: readonly string[];
  readonly excludeProtocols: readonly string[];
  readonly includeCipherSuites: readonly string[];
  readonly excludeCipherSuites: readonly string[];
}

export interface ServerTls extends TlsChoice {
  readonly keystore: TlsStore;
  /** Who may sign a client's certificate. */
  readonly truststore?: TlsStore;
  readonly clientAuth: "none" | "wanted" | "required";
}

export interface ClientTls extends TlsChoice {
  /** Who may sign the server's certificate; Node's list of authorities when there is none. */
  readonly truststore?: TlsStore;
  /** The client's own certificate, for a server that asks. */
  readonly keystore?: TlsStore;
  /** Accept any certificate. */
  readonly trustAll: boolean;
  /** Whether the certificate must be of the host that was meant. Flume never asks. */
  readonly verifyHostName: boolean;
  /** The name that the certificate must have, and that is asked for, instead of the host's. */
  readonly serverName?: string;
}

export interface ServerTransport {
  readonly tls?: ServerTls;
  readonly compression: "none" | "deflate";
  /** Flume's `ipFilterRules`; everyone is let in when there are none. */
  readonly ipFilterRules?: string;
}

export interface ClientTransport {
  readonly tls?: ClientTls;
  readonly compression: "none" | "deflate";
  /** 0 to 9. */
  readonly compressionLevel: number;
  /** With both: which of the two the peer meets first. Flume changed it in 1.10. */
  readonly outermost: "deflate" | "tls";
}

export const plainServer: ServerTransport = { compression: "none" };
export const plainClient: ClientTransport = {
  compression: "none",
  compressionLevel: 6,
  outermost: "deflate",
};
