import { type FileSystem, readWholeFile, replaceFile, systemErrorCode } from "@millrace/core";
import { join } from "node:path";
import type { CertificateAndKey } from "./certificate.ts";
import type { CertificatePlace } from "./renew.ts";

/**
 * A directory with `ca.crt`, `ca.key`, `tls.crt` and `tls.key`. The key of the authority makes whoever has it
 * an agent that all others trust: it belongs on no machine that runs one.
 */
export function createDirectoryPlace(directory: string, files: FileSystem): CertificatePlace {
  const read = async (name: string): Promise<Partial<CertificateAndKey>> => {
    const certificate = await readText(files, join(directory, `${name}.crt`));
    const key = await readText(files, join(directory, `${name}.key`));
    return {
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key }),
    };
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
      const own = isPair(certificate) ? { certificate } : {};
      // What an authority of ours issued in part is issued again.
      if (isPair(authority)) return { authority, ...own };
      if (isPair(certificate)) return "foreign";
      const there = [...namesOf("ca", authority), ...namesOf("tls", certificate)];
      if (there.length === 0) return {};
      throw new Error(
        `${directory} has ${there.join(", ")} and not the rest, and nothing of it is overwritten: ` +
          "bring back what is missing, or move it away",
      );
    },
    async writeAuthority(authority) {
      await files.makeDirectory(directory);
      await write("ca", authority);
      return authority;
    },
    writeCertificate: (certificate) => write("tls", certificate),
  };
}

function isPair(files: Partial<CertificateAndKey>): files is CertificateAndKey {
  return files.certificate !== undefined && files.key !== undefined;
}

function namesOf(name: string, { certificate, key }: Partial<CertificateAndKey>): string[] {
  return [
    ...(certificate === undefined ? [] : [`${name}.crt`]),
    ...(key === undefined ? [] : [`${name}.key`]),
  ];
}

async function readText(files: FileSystem, path: string): Promise<string | undefined> {
  try {
    return (await readWholeFile(files, path)).toString();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
