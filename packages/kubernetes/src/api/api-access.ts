import {
  type FileSystem,
  MillraceError,
  readWholeFile,
  type Runtime,
  systemErrorCode,
} from "@millrace/core";
import { X509Certificate } from "node:crypto";

/** Where an API server is, and what proves who asks. */
export interface ApiAccessSettings {
  /** "https://10.0.0.1:443", perhaps with a path. */
  readonly apiServer: string;
  readonly tokenFile: string;
  readonly caFile: string;
}

export interface Credentials {
  readonly token: string | undefined;
  readonly ca: Buffer | undefined;
}

/** Kubelet rotates a pod's token long before it expires; a minute is soon enough. */
const rereadMs = 60_000;
const fileBytesMax = 1024 * 1024;

/** The token and the authority, read from their files again and again. */
export class ApiAccess {
  readonly #settings: ApiAccessSettings;
  readonly #runtime: Runtime;
  #credentials: Credentials | undefined;
  #readAtMs = 0;

  constructor(settings: ApiAccessSettings, runtime: Runtime) {
    this.#settings = settings;
    this.#runtime = runtime;
  }

  /**
   * What to send. With `fresh` the files are read now. Throws KUBERNETES_REFUSED when one cannot be
   * read. Without TLS there is none: a token is never sent in the clear.
   */
  async credentials(fresh = false): Promise<Credentials> {
    const { clock, files } = this.#runtime;
    const { apiServer, tokenFile, caFile } = this.#settings;
    if (!apiServer.startsWith("https:")) return { token: undefined, ca: undefined };
    const nowMs = clock.monotonic();
    if (!fresh && this.#credentials !== undefined && nowMs - this.#readAtMs < rereadMs) {
      return this.#credentials;
    }
    const token = await read(files, tokenFile, "token", toToken);
    const ca = await read(files, caFile, "ca", toAuthority);
    this.#credentials = { token, ca };
    this.#readAtMs = nowMs;
    return this.#credentials;
  }
}

async function read<T>(
  files: FileSystem,
  path: string,
  option: string,
  parse: (bytes: Buffer) => T,
): Promise<T> {
  try {
    const { size } = await files.stat(path);
    if (size > 0 && size <= fileBytesMax) return parse(await readWholeFile(files, path));
    throw new Error(`it has ${size} bytes`);
  } catch (error) {
    const isUnread = error instanceof Error && /^E[A-Z]+$/.test(systemErrorCode(error));
    const why = isUnread ? systemErrorCode(error) : (error as Error).message;
    throw new MillraceError(
      "KUBERNETES_REFUSED",
      `${path} cannot be read (${why}): without it the API server is not asked; mount the pod's ` +
        `service account token, or set ${option}File`,
      { cause: error },
    );
  }
}

function toToken(bytes: Buffer): string {
  const token = bytes.toString("latin1").trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error("it is no token: one word");
  return token;
}

function toAuthority(bytes: Buffer): Buffer {
  try {
    new X509Certificate(bytes);
    return bytes;
  } catch (cause) {
    throw new Error("it is no certificate in PEM", { cause });
  }
}
