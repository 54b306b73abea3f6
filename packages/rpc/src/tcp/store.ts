import { type FileSystem, MillraceError, readWholeFile, systemErrorCode } from "@millrace/core";
import type { X509Certificate } from "node:crypto";
import { orderChain } from "./certificate-chain.ts";
import type { TlsStore } from "./security.ts";
import { type StoreContent, StoreProblem } from "./store-content.ts";
import { readJks } from "./store-jks.ts";
import { readPem } from "./store-pem.ts";
import { readPkcs12 } from "./store-pkcs12.ts";

/** A private key with the certificates that say whose it is, as node:tls and gRPC take them. */
export interface KeyMaterial {
  /** PKCS #8, not encrypted. */
  readonly keyPem: string;
  /** The key's own certificate first, then each one's issuer. */
  readonly chainPem: string;
  readonly certificate: X509Certificate;
  /** When the first certificate of the chain ends. */
  readonly expiresAtMs: number;
}

/** Certificates of those who are believed. */
export interface TrustMaterial {
  readonly certificatePems: readonly string[];
  /** When the last of them ends, and nobody is believed any more: old and new may stand together. */
  readonly expiresAtMs: number;
}

/** Where stores are read, and the time that certificates are judged by. */
export interface StoreReader {
  readonly files: FileSystem;
  readonly nowMs: number;
}

const bytesMax = 16 * 1024 * 1024;

/**
 * Reads a server's or client's own key and certificate chain. The file may be of another type than
 * is said: Java reads a PKCS12 file as JKS too, so what it is counts. Throws TLS_STORE_INVALID.
 */
export async function readKeyStore(store: TlsStore, reader: StoreReader): Promise<KeyMaterial> {
  const { keys, certificates, lockedKeys = 0 } = await readStore("keystore", store, reader);
  const [key] = keys;
  if (key === undefined && lockedKeys > 0) {
    throw invalid("keystore", store, "has a private key that needs keystore-password");
  }
  if (key === undefined) {
    const todo =
      store.type === "PEM" || store.keyPath !== undefined
        ? "name the key's file as keystore-key, or put the key into the same file"
        : "it may be a truststore; a keystore is made by keytool -genkeypair, or openssl pkcs12 -export";
    throw invalid("keystore", store, `holds no private key; ${todo}`);
  }
  const chain = orderChain(key, certificates);
  const [certificate] = chain;
  if (certificate === undefined) {
    const held =
      certificates.length === 0
        ? "holds no certificate"
        : `holds no certificate of its private key, only ${certificates.map(nameOf).join(", ")}`;
    throw invalid("keystore", store, `${held}; put the certificate that was signed for the key in`);
  }
  const problem = validityProblem(certificate, reader.nowMs);
  if (problem !== undefined) {
    throw invalid("keystore", store, `has a certificate that ${problem}; put in a new one`);
  }
  return {
    keyPem: key.export({ type: "pkcs8", format: "pem" }) as string,
    chainPem: chain.map(String).join(""),
    certificate,
    expiresAtMs: Math.min(...chain.map(endOf)),
  };
}

/**
 * Reads the certificates that are believed: of authorities, or of single peers. As in Java the own
 * certificate beside a private key counts among them. Throws TLS_STORE_INVALID.
 */
export async function readTrustStore(store: TlsStore, reader: StoreReader): Promise<TrustMaterial> {
  const { certificates } = await readStore("truststore", store, reader);
  if (certificates.length === 0) {
    throw invalid("truststore", store, "holds no certificate; put in those of the authorities");
  }
  const problems = certificates.map((certificate) => validityProblem(certificate, reader.nowMs));
  if (problems.every((problem) => problem !== undefined)) {
    const text = "holds no certificate that is valid today: it has one that";
    throw invalid("truststore", store, `${text} ${problems[0]}; put in new ones`);
  }
  const expiresAtMs = Math.max(...certificates.map(endOf));
  return { certificatePems: certificates.map(String), expiresAtMs };
}

function endOf({ validTo }: X509Certificate): number {
  return Date.parse(validTo);
}

type Role = "keystore" | "truststore";

async function readStore(role: Role, store: TlsStore, reader: StoreReader): Promise<StoreContent> {
  const bytes = await readFile(role, store, store.path, reader);
  const kind = sniff(bytes);
  try {
    switch (kind) {
      case "JKS":
        return await readJks(bytes, store.password);
      case "PKCS12":
        return await readPkcs12(bytes, store.password);
      case "PEM": {
        const { keyPath } = store;
        const keyBytes =
          keyPath === undefined ? undefined : await readFile(role, store, keyPath, reader);
        return readPem(bytes, keyBytes, store.password);
      }
      case "JCEKS":
        throw new StoreProblem(
          "is of type JCEKS, which is not supported; make it PKCS12: keytool -importkeystore -srckeystore FILE -srcstoretype JCEKS -destkeystore NEW -deststoretype PKCS12",
        );
      case "unknown":
        throw new StoreProblem(
          `is neither JKS, PKCS12 nor PEM; it begins with ${bytes.subarray(0, 4).toString("hex") || "nothing"}`,
        );
    }
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    const what =
      error instanceof StoreProblem
        ? error.message
        : `cannot be read as ${kind}: ${(error as Error).message}`;
    throw invalid(role, store, what, error);
  }
}

async function readFile(
  role: Role,
  store: TlsStore,
  path: string,
  { files }: StoreReader,
): Promise<Buffer> {
  const at = { ...store, path };
  try {
    const { size, isFile } = await files.stat(path);
    if (!isFile) throw invalid(role, at, "is not a file");
    if (size > bytesMax) throw invalid(role, at, `has ${size} bytes, over ${bytesMax}`);
    return await readWholeFile(files, path);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    const system = systemErrorCode(error);
    if (system === "ENOENT" || system === "ENOTDIR") {
      throw invalid(role, at, "does not exist; correct the path, or put the file there", error);
    }
    if (system === "EACCES") {
      throw invalid(role, at, "may not be read by this user; give it the permission", error);
    }
    throw invalid(role, at, `cannot be read: ${(error as Error).message}`, error);
  }
}

/** What a file is, whatever it is said to be. */
function sniff(bytes: Buffer): "JKS" | "JCEKS" | "PKCS12" | "PEM" | "unknown" {
  const magic = bytes.length < 4 ? 0 : bytes.readUInt32BE(0);
  if (magic === 0xfeedfeed) return "JKS";
  if (magic === 0xcececece) return "JCEKS";
  if (bytes.includes("-----BEGIN ")) return "PEM";
  if (bytes[0] === 0x30) return "PKCS12";
  return "unknown";
}

function validityProblem(certificate: X509Certificate, nowMs: number): string | undefined {
  const { validFrom, validTo } = certificate;
  if (nowMs > Date.parse(validTo)) return `has expired: ${nameOf(certificate)} on ${validTo}`;
  if (nowMs < Date.parse(validFrom)) {
    return `is not valid yet: ${nameOf(certificate)} from ${validFrom}`;
  }
  return undefined;
}

function invalid(role: Role, { path }: TlsStore, what: string, cause?: unknown): MillraceError {
  return new MillraceError("TLS_STORE_INVALID", `${role} ${path} ${what}`, {
    cause,
    context: { path },
  });
}

/** A certificate's subject on one line: "CN=edge-1, O=Example". */
export function nameOf({ subject }: Pick<X509Certificate, "subject">): string {
  return oneLine(subject) || "a certificate without a subject";
}

/** A distinguished name as node:crypto gives it, on one line. */
export function oneLine(name: string | undefined): string {
  return (name ?? "").split("\n").join(", ");
}
