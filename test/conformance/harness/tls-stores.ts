import { join } from "node:path";
import type { TestContext } from "node:test";
import { run } from "./programs.ts";

/** One server certificate, in each kind of file that Flume's and our options read. */
export interface TlsStores {
  readonly password: string;
  readonly keystoreJks: string;
  readonly keystorePkcs12: string;
  readonly truststoreJks: string;
  readonly truststorePkcs12: string;
  /** The certificate alone. */
  readonly certificatePem: string;
}

const password = "changeit";

export async function createTlsStores(test: TestContext, folder: string): Promise<TlsStores> {
  const path = (name: string): string => join(folder, name);
  const stores: TlsStores = {
    password,
    keystoreJks: path("keystore.jks"),
    keystorePkcs12: path("keystore.p12"),
    truststoreJks: path("truststore.jks"),
    truststorePkcs12: path("truststore.p12"),
    certificatePem: path("certificate.pem"),
  };
  const keytool = async (...words: readonly string[]): Promise<void> => {
    const command = ["keytool", "-J-XX:TieredStopAtLevel=1", ...words, "-storepass", password];
    await run(test, command, 60_000);
  };
  const server = ["-alias", "server"];
  const pkcs12 = ["-keystore", stores.keystorePkcs12, "-storetype", "PKCS12"];
  await keytool(
    "-genkeypair",
    ...server,
    ...["-keyalg", "RSA", "-keysize", "2048", "-validity", "3650"],
    ...["-dname", "CN=localhost", "-ext", "san=dns:localhost,ip:127.0.0.1"],
    ...pkcs12,
  );
  await keytool("-exportcert", "-rfc", ...server, ...pkcs12, "-file", stores.certificatePem);
  await run(
    test,
    [
      ...["keytool", "-importkeystore", "-noprompt"],
      ...["-srckeystore", stores.keystorePkcs12, "-srcstoretype", "PKCS12"],
      ...["-srcstorepass", password, "-destkeystore", stores.keystoreJks],
      ...["-deststoretype", "JKS", "-deststorepass", password],
    ],
    60_000,
  );
  for (const [file, type] of [
    [stores.truststoreJks, "JKS"],
    [stores.truststorePkcs12, "PKCS12"],
  ] as const) {
    const trusted = ["-file", stores.certificatePem, "-keystore", file, "-storetype", type];
    await keytool("-importcert", "-noprompt", ...server, ...trusted);
  }
  return stores;
}
