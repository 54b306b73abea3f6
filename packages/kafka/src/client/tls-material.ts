import { MillraceError, type Runtime } from "@millrace/core";
import { readKeyStore, readTrustStore } from "@millrace/rpc";
import type { ConnectionOptions } from "node:tls";
import type { StoreProperties, TlsProperties } from "../properties/connection-properties.ts";

/**
 * Reads the stores that the properties name, and makes what node:tls takes of them. Without a
 * truststore the authorities count that Node.js knows. Throws TLS_STORE_INVALID.
 */
export async function readTls(tls: TlsProperties, runtime: Runtime): Promise<ConnectionOptions> {
  const reader = { files: runtime.files, nowMs: runtime.clock.now() };
  const options: ConnectionOptions = {};
  if (tls.trustedPem !== undefined) options.ca = unfold(tls.trustedPem);
  else if (tls.trustStore !== undefined) {
    options.ca = [...(await readTrustStore(storeOf(tls.trustStore), reader)).certificatePems];
  }
  if (tls.chainPem !== undefined && tls.keyPem !== undefined) {
    options.cert = unfold(tls.chainPem);
    options.key = unfold(tls.keyPem);
    if (tls.keyPassword !== undefined) options.passphrase = tls.keyPassword;
  } else if (tls.chainPem !== undefined || tls.keyPem !== undefined) {
    throw new MillraceError(
      "TLS_STORE_INVALID",
      "ssl.keystore.certificate.chain and ssl.keystore.key belong together; one of them is missing",
    );
  } else if (tls.keyStore !== undefined) {
    const material = await readKeyStore(storeOf(tls.keyStore, tls.keyPassword), reader);
    options.cert = material.chainPem;
    options.key = material.keyPem;
  }
  if (!tls.checksHostName) options.checkServerIdentity = () => undefined;
  return options;
}

function storeOf(store: StoreProperties, keyPassword?: string) {
  const password = store.password ?? keyPassword;
  return {
    path: store.path,
    type: store.type,
    ...(password === undefined ? {} : { password }),
  };
}

/** A property is one line: its line breaks are written as \n, or as spaces. */
function unfold(pem: string): string {
  return pem
    .replace(/\\n/g, "\n")
    .replace(/\s*(-----(?:BEGIN|END) [A-Z0-9 ]+-----)\s*/g, "\n$1\n")
    .trimStart();
}
