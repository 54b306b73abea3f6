import {
  fileExists,
  type FileSystem,
  MillraceError,
  readWholeFile,
  systemErrorCode,
} from "@millrace/core";
import { JceksError, type JceksKeyStore, parseJceks } from "./jceks-key-store.ts";
import type { KeyProvider } from "./key-provider.ts";

/** Flume's `encryption.keyProvider = JCEKSFILE`. */
export interface JceksKeyProviderOptions {
  /** `encryption.keyProvider.keyStoreFile`. */
  readonly keyStoreFile: string;
  /** `encryption.keyProvider.keyStorePasswordFile`; blanks around the password do not count. */
  readonly keyStorePasswordFile: string;
  /** `encryption.keyProvider.keys.<alias>.passwordFile`, for keys that have a password of their own. */
  readonly keyPasswordFiles?: ReadonlyMap<string, string>;
}

const storeBytesMax = 16 * 1024 * 1024;
const passwordBytesMax = 64 * 1024;

/** Keys of a JCEKS key store, which `keytool -genseckey` makes. The files are read at each `key`. */
export function createJceksKeyProvider(
  options: JceksKeyProviderOptions,
  files: FileSystem,
): KeyProvider {
  const { keyStoreFile, keyStorePasswordFile, keyPasswordFiles } = options;
  return {
    async key(alias) {
      const bytes = await readKeyFile(files, keyStoreFile, storeBytesMax);
      const storePassword = await readPassword(files, keyStorePasswordFile);
      const passwordFile = keyPasswordFiles?.get(alias) ?? keyStorePasswordFile;
      const password = await readPassword(files, passwordFile);
      try {
        return await findKey(parseJceks(bytes, storePassword), alias, password, keyStoreFile);
      } catch (error) {
        if (!(error instanceof JceksError)) throw error;
        const files = `passwords are read from ${keyStorePasswordFile} for the store and ${passwordFile} for the key ${alias}`;
        throw new MillraceError(
          "KEY_INVALID",
          `the key store ${keyStoreFile} ${error.message}; ${files}`,
          { cause: error, context: { alias, path: keyStoreFile } },
        );
      }
    },
  };
}

async function findKey(
  store: JceksKeyStore,
  alias: string,
  password: string,
  path: string,
): Promise<Buffer> {
  const found = await store.secretKey(alias, password);
  if (found === undefined) {
    const has =
      store.aliases.length === 0
        ? "has no secret keys"
        : `has ${store.aliases.slice(0, 10).join(", ")}`;
    throw new MillraceError("KEY_MISSING", `the key "${alias}" is not in ${path}, which ${has}`, {
      context: { alias, path },
    });
  }
  const { algorithm, key } = found;
  if (algorithm !== "AES" || ![16, 24, 32].includes(key.length)) {
    throw new JceksError(
      `has ${alias}, a key of ${key.length} bytes for ${algorithm}, and one of 16, 24 or 32 bytes for AES is needed`,
    );
  }
  return key;
}

async function readPassword(files: FileSystem, path: string): Promise<string> {
  return (await readKeyFile(files, path, passwordBytesMax)).toString("utf8").trim();
}

async function readKeyFile(files: FileSystem, path: string, bytesMax: number): Promise<Buffer> {
  if (!(await fileExists(files, path))) {
    throw new MillraceError(
      "KEY_MISSING",
      `${path} does not exist; correct the path of the key store or of the password`,
      { context: { path } },
    );
  }
  const { size } = await files.stat(path);
  if (size > bytesMax) {
    throw new MillraceError(
      "KEY_INVALID",
      `${path} has ${size} bytes, and ${bytesMax} is the most that is read as a key store or password`,
      { context: { path } },
    );
  }
  try {
    return await readWholeFile(files, path);
  } catch (error) {
    const denied = ["EACCES", "EPERM"].includes(systemErrorCode(error));
    throw new MillraceError(
      denied ? "PERMISSION_DENIED" : "READ_FAILED",
      `${path} cannot be read: ${String(error)}`,
      { cause: error },
    );
  }
}
