import { type FileSystem, readWholeFile, replaceFile, systemErrorCode } from "@millrace/core";
import { join } from "node:path";
import type { CertificateAndKey } from "./certificate.ts";
import type { CertificatePlace } from "./renew.ts";

/**
 * A directory with `ca.crt`, `ca.key`, `tls.crt` and `tls.key`. The key of the authority makes whoever has it
 * an agent that all others trust: it belongs on no machine that runs one.
 */
export function createDirectoryPlace(directory: string, files: FileSystem): CertificatePlace {
  const read = async (name: string): Promise<CertificateAndKey | undefined> => {
    const certificate = await readText(files, join(directory, `${name}.crt`));
    const key = await readText(files, join(directory, `${name}.key`));
    return certificate === undefined || key === undefined ? undefined : { certificate, key };
  };
  const write = async (name: string, { certificate, key }: CertificateAndKey): Promise<void> => {
    await replaceFile(files, join(directory, `${name}.key`), Buffer.from(key));
    await replaceFile(files, join(directory, `${name}.crt`), Buffer.from(certificate));
  };
  return {
    name: directory,
    async read() {
      const authority = await read("ca");
      const certificate = await read("tls");
      if (authority === undefined && certificate !== undefined) return "foreign";
      return {
        ...(authority === undefined ? {} : { authority }),
        ...(certificate === undefined ? {} : { certificate }),
      };
    },
    async writeAuthority(authority) {
      await files.makeDirectory(directory);
      await write("ca", authority);
      return authority;
    },
    writeCertificate: (certificate) => write("tls", certificate),
  };
}

async function readText(files: FileSystem, path: string): Promise<string | undefined> {
  try {
    return (await readWholeFile(files, path)).toString();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
