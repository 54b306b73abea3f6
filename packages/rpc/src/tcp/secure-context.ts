import { type Clock, type FileSystem, type Log, MillraceError } from "@millrace/core";
import { constants, type X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { createReloading, type Reloading } from "./reloading.ts";
import type { ClientTls, ServerTls, TlsStore } from "./security.ts";
import { type KeyMaterial, readKeyStore, readTrustStore, type StoreReader, type TrustMaterial } from "./store.ts"; // prettier-ignore
import { tlsSettings } from "./tls-choice.ts";

/** What the stores of one side hold. */
interface TlsMaterial {
  readonly key?: KeyMaterial;
  /** Node's list of authorities when not given. */
  readonly trust?: TrustMaterial;
}

export interface TlsRuntime {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each change of the files that makes nothing usable: what was there stays. */
  readonly rejected?: () => void;
}

/** When what is in use ends: the own certificate, and those who are believed. */
export interface Expiries {
  readonly ownAtMs?: number;
  readonly authorityAtMs?: number;
}

type Stores = Pick<ClientTls, "keystore" | "truststore">;

/** Reads the stores that are named. Throws TLS_STORE_INVALID. */
async function readTlsMaterial(tls: Stores, reader: StoreReader): Promise<TlsMaterial> {
  const { keystore, truststore } = tls;
  const key = keystore && (await readKeyStore(keystore, reader));
  const trust = truststore && (await readTrustStore(truststore, reader));
  return { ...(key && { key }), ...(trust && { trust }) };
}

/** A client's context for node:tls. */
export interface ClientContext {
  readonly context: SecureContext;
  readonly expiries: Expiries;
}

/** A server's context for node:tls, and the certificate it shows. */
export interface ServerContext extends ClientContext {
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
    const material = { key, ...(trust && { trust }) };
    return { certificate, context: makeContext(tls, material), expiries: expiriesOf(material) };
  };
  const what = "the server's certificate";
  return createReloading({ ...runtime, paths: pathsOf(tls), what, read });
}

/** A client's contexts, and what they are made of. */
interface ClientContexts {
  readonly tls: ClientTls;
  readonly reloading: Reloading<ClientContext>;
}

const clientContexts = new WeakMap<TlsStore, ClientContexts>();
const contextKeys = [
  "keystore",
  "truststore",
  "includeProtocols",
  "excludeProtocols",
  "includeCipherSuites",
  "excludeCipherSuites",
] as const;

/**
 * A client's context for node:tls, made anew when its files change. It is kept beside the store
 * objects of `tls`: hand the same ones to every connection, so that files are read when they change
 * and not for each.
 */
export function createClientContext(tls: ClientTls, runtime: TlsRuntime): Reloading<ClientContext> {
  const { files, clock } = runtime;
  const key = tls.keystore ?? tls.truststore;
  const kept = key && clientContexts.get(key);
  if (kept !== undefined && contextKeys.every((name) => kept.tls[name] === tls[name])) {
    return kept.reloading;
  }
  const read = async (): Promise<ClientContext> => {
    const material = await readTlsMaterial(tls, { files, nowMs: clock.now() });
    return { context: makeContext(tls, material), expiries: expiriesOf(material) };
  };
  const what = "what the client trusts or shows";
  const reloading = createReloading({ ...runtime, paths: pathsOf(tls), what, read });
  if (key !== undefined) clientContexts.set(key, { tls, reloading });
  return reloading;
}

export async function clientContextOf(tls: ClientTls, runtime: TlsRuntime): Promise<SecureContext> {
  return (await createClientContext(tls, runtime).current()).context;
}

function expiriesOf({ key, trust }: TlsMaterial): Expiries {
  return {
    ...(key && { ownAtMs: key.expiresAtMs }),
    ...(trust && { authorityAtMs: trust.expiresAtMs }),
  };
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
