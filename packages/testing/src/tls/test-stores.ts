import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeJks, encodeJksTrust } from "./jks.ts";
import { encodePkcs12, encodePkcs12Trust } from "./pkcs12.ts";
import { createTestAuthority, type TestAuthority, type TestCertificate } from "./test-authority.ts";

/** An authority and what it signed, made once a process. */
export interface TestTls {
  readonly authority: TestAuthority;
  /** Good for localhost, 127.0.0.1 and ::1. */
  readonly server: TestCertificate;
  readonly client: TestCertificate;
  /** An authority that nobody here believes. */
  readonly stranger: TestAuthority;
}

let made: TestTls | undefined;

export function testTls(): TestTls {
  if (made === undefined) {
    const authority = createTestAuthority();
    made = {
      authority,
      server: authority.issue({ commonName: "server" }),
      client: authority.issue({ commonName: "client", hosts: ["client"] }),
      stranger: createTestAuthority("A stranger"),
    };
  }
  return made;
}

export const testStorePassword = "change it";

export interface TestKeyFiles {
  readonly pem: string;
  readonly keyPem: string;
  readonly p12: string;
  readonly jks: string;
}
export interface TestTrustFiles {
  readonly pem: string;
  readonly p12: string;
  readonly jks: string;
}

/** Paths of stores of every type; `pem` of a key has its certificates only, `keyPem` the key. */
export interface TestStores {
  readonly password: string;
  readonly server: TestKeyFiles;
  readonly client: TestKeyFiles;
  readonly trust: TestTrustFiles;
}

/** Writes what `testTls` made into a directory, PEM, PKCS12 and JKS. */
export async function writeTestStores(directory: string): Promise<TestStores> {
  const { authority, server, client } = testTls();
  return {
    password: testStorePassword,
    server: await writeKeyFiles(directory, "server", server),
    client: await writeKeyFiles(directory, "client", client),
    trust: await writeTrustFiles(directory, "trust", [authority]),
  };
}

export async function writeKeyFiles(
  directory: string,
  name: string,
  certificate: TestCertificate,
): Promise<TestKeyFiles> {
  return writeAll(directory, name, {
    pem: certificate.chainPem,
    keyPem: certificate.keyPem,
    p12: encodePkcs12(certificate, testStorePassword),
    jks: encodeJks(certificate, testStorePassword),
  });
}

export async function writeTrustFiles(
  directory: string,
  name: string,
  authorities: readonly TestAuthority[],
): Promise<TestTrustFiles> {
  const certificates = authorities.map(({ certificate }) => certificate);
  return writeAll(directory, name, {
    pem: authorities.map(({ certificatePem }) => certificatePem).join(""),
    p12: encodePkcs12Trust(certificates, testStorePassword),
    jks: encodeJksTrust(certificates, testStorePassword),
  });
}

async function writeAll<K extends string>(
  directory: string,
  name: string,
  contents: Record<K, string | Buffer>,
): Promise<Record<K, string>> {
  const paths: [K, string][] = [];
  for (const [kind, content] of Object.entries(contents) as [K, string | Buffer][]) {
    const path = join(directory, kind === "keyPem" ? `${name}.key.pem` : `${name}.${kind}`);
    await writeFile(path, content, { mode: 0o600 });
    paths.push([kind, path]);
  }
  return Object.fromEntries(paths) as Record<K, string>;
}
