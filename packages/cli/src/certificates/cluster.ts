import type { FileSystem } from "@millrace/core";
import { readWholeFile } from "@millrace/core";
import { request } from "node:https";

/** The API server of Kubernetes, as a pod with a service account knows it. */
export interface Cluster {
  readonly host: string;
  readonly port: number;
  /** PEM of the authority of its certificate. */
  readonly authority: string;
  readonly token: string;
}

/** What the API server says: the status of HTTP, and the object. */
export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const accountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";
const answerTimeoutMs = 20_000;
const answerBytesMax = 4 * 1_048_576;

/** What Kubernetes puts into every pod that has a service account. Throws when this is none. */
export async function findCluster(
  environment: Readonly<Record<string, string | undefined>>,
  files: FileSystem,
  directory = accountDirectory,
): Promise<Cluster> {
  const host = environment["KUBERNETES_SERVICE_HOST"];
  if (host === undefined) {
    throw new Error(
      "KUBERNETES_SERVICE_HOST is not set: --secret works in a pod; elsewhere use --out and kubectl create secret generic --from-file",
    );
  }
  const read = async (name: string): Promise<string> =>
    (await readWholeFile(files, `${directory}/${name}`)).toString().trim();
  return {
    host,
    port: Number(environment["KUBERNETES_SERVICE_PORT"] ?? 443),
    authority: await read("ca.crt"),
    token: await read("token"),
  };
}

/** Asks once, and answers whatever the status is; throws when there is no answer. */
export function ask(
  cluster: Cluster,
  method: "GET" | "POST" | "PUT",
  path: string,
  body?: unknown,
): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        ...{ host: cluster.host, port: cluster.port, ca: cluster.authority, method, path },
        headers: {
          authorization: `Bearer ${cluster.token}`,
          accept: "application/json",
          ...(text === undefined ? {} : { "content-type": "application/json" }),
        },
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > answerBytesMax)
            asked.destroy(new Error(`an answer over ${answerBytesMax} bytes`)); // prettier-ignore
          else chunks.push(chunk);
        });
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            body: parseObject(Buffer.concat(chunks).toString()),
          }),
        );
      },
    );
    asked.setTimeout(answerTimeoutMs, () =>
      asked.destroy(new Error(`no answer within ${answerTimeoutMs / 1000} s`)),
    );
    asked.on("error", (error) =>
      reject(new Error(`API server ${cluster.host}:${cluster.port}: ${error.message}`)),
    );
    asked.end(text);
  });
}

/** What is no object says nothing. */
function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}
