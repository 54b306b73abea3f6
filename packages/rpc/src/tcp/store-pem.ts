import { X509Certificate } from "node:crypto";
import { privateKeyOf, type StoreContent, StoreProblem } from "./store-content.ts";

const block = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** Certificates of one file, and the private key of the same or of its own. Text between is skipped. */
export function readPem(
  bytes: Buffer,
  keyBytes: Buffer | undefined,
  password: string | undefined,
): StoreContent {
  const blocks = blocksOf(bytes);
  const certificates = blocks
    .filter(({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE")
    .map(({ pem }, at) => {
      try {
        return new X509Certificate(pem);
      } catch (error) {
        const reason = (error as Error).message;
        throw new StoreProblem(`has a certificate, number ${at + 1}, that is damaged: ${reason}`);
      }
    });
  const keys = (keyBytes === undefined ? blocks : blocksOf(keyBytes))
    .filter(({ label }) => label.endsWith("PRIVATE KEY"))
    .map(({ pem }) => privateKeyOf(pem, password));
  return { keys, certificates };
}

function blocksOf(bytes: Buffer): { label: string; pem: string }[] {
  return [...bytes.toString("latin1").matchAll(block)].map(([pem, label = ""]) => ({ label, pem }));
}
