import { type Clock, type FileSystem, type Log, MillraceError } from "@millrace/core";
import { constants, type X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { createReloading, type Reloading } from "./reloading.ts";
import type { ClientTls, ServerTls, TlsStore } from "./security.ts";
import { type KeyMaterial, readKeyStore, readTrustStore, type StoreReader, type TrustMaterial } from "./store.ts"; // prettier-ignore
import { tlsSettings } from "./tls-choice.ts";

/** What the stores of one side hold. */
export interface TlsMaterial {
  readonly key?: KeyMaterial;
  /** Node's list of authorities when not given. */
  readonly trust?: TrustMaterial;
}

export interface TlsRuntime {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly log: Log;
}

type Stores = Pick<ClientTls, "keystore" | "truststore">;

/** Reads the stores that are named. Throws TLS_STORE_INVALID. */
export async function readTlsMaterial(tls: Stores, reader: StoreReader): Promise<TlsMaterial> {
  const { keystore, truststore } = tls;
  const key = keystore && (await readKeyStore(keystore, reader));
  const trust = truststore && (await readTrustStore(truststore, reader));
  return { ...(key && { key }), ...(trust && { trust }) };
}

/** The stores' content, read again when the files change. For wires that make their own TLS of it. */
export function createTlsMaterial(
  tls: Stores,
  what: string,
  { files, clock, log }: TlsRuntime,
): Reloading<TlsMaterial> {
  const read = () => readTlsMaterial(tls, { files, nowMs: clock.now() });
  return createReloading({ paths: pathsOf(tls), what, read, files, clock, log });
}

/** A server's context for node:tls, and the certificate it shows. */
export interface ServerContext {
  readonly context: SecureContext;
  readonly certificate: X509Certificate;
}

/** A server's context, made anew when its files change. */
export function createServerContext(tls: ServerTls, runtime: TlsRuntime): Reloading<ServerContext> {
  const { files, clock } = runtime;
  const read = async (): Promise<ServerContext> => {
    const reader = { files, nowMs: clock.now() };
    const key = await readKeyStore(tls.keystore, reader);
    const trust = tls.truststore && (await readTrustStore(tls.truststore, reader));
    const { certificate } = key;
    return { certificate, context: makeContext(tls, { key, ...(trust && { trust }) }) };
  };
  const what = "the server's certificate";
  return createReloading({ ...runtime, paths: pathsOf(tls), what, read });
}

/** A client's context, and what it was made of. */
interface ClientContext {
  readonly tls: ClientTls;
  readonly reloading: Reloading<SecureContext>;
}

const clientContexts = new WeakMap<TlsStore, ClientContext>();
const contextKeys = [
  "keystore",
  "truststore",
  "includeProtocols",
  "excludeProtocols",
  "includeCipherSuites",
  "excludeCipherSuites",
] as const;

/**
 * A client's context for node:tls. It is kept beside the store objects of `tls`: hand the same ones
 * to every connection, so that files are read when they change and not for each.
 */
export function clientContextOf(tls: ClientTls, runtime: TlsRuntime): Promise<SecureContext> {
  const key = tls.keystore ?? tls.truststore;
  const read = async (): Promise<SecureContext> =>
    makeContext(tls, await readTlsMaterial(tls, { files, nowMs: clock.now() }));
  const { files, clock } = runtime;
  if (key === undefined) return read();
  const kept = clientContexts.get(key);
  if (kept !== undefined && contextKeys.every((name) => kept.tls[name] === tls[name])) {
    return kept.reloading.current();
  }
  const what = "what the client trusts or shows";
  const reloading = createReloading({ ...runtime, paths: pathsOf(tls), what, read });
  clientContexts.set(key, { tls, reloading });
  return reloading.current();
}

function makeContext(tls: ServerTls | ClientTls, { key, trust }: TlsMaterial): SecureContext {
  try {
    return createSecureContext({
      ...tlsSettings(tls),
      ...(key && { key: key.keyPem, cert: key.chainPem }),
      // Java believes whatever stands in a truststore, a peer's own certificate too.
      ...(trust && { ca: [...trust.certificatePems], allowPartialTrustChain: true }),
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      honorCipherOrder: true,
      sessionIdContext: "millrace",
    });
  } catch (error) {
    const path = tls.keystore?.path ?? tls.truststore?.path ?? "";
    throw new MillraceError(
      "TLS_STORE_INVALID",
      `${path} holds what OpenSSL does not take: ${(error as Error).message}`,
      { cause: error, context: { path } },
    );
  }
}

function pathsOf({ keystore, truststore }: Stores): readonly string[] {
  const paths = (store: TlsStore | undefined) => [store?.path, store?.keyPath];
  return [...paths(keystore), ...paths(truststore)].filter((path) => path !== undefined);
}
