import { Agent, request } from "node:https";

/** What tests look at in objects of Kubernetes; there is more in them. */
export interface ApiObject {
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[];
  };
  readonly spec?: {
    readonly nodeName?: string;
    readonly serviceAccountName?: string;
    readonly storageClassName?: string;
    /** Of a Service. */
    readonly type?: string;
    readonly accessModes?: readonly string[];
    readonly resources?: { readonly requests?: Readonly<Record<string, string>> };
    readonly containers?: readonly {
      readonly name: string;
      readonly image: string;
      readonly args?: readonly string[];
    }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly token?: string;
    readonly loadBalancer?: { readonly ingress?: readonly unknown[] };
  };
  readonly data?: Readonly<Record<string, string>>;
  /** Of events. */
  readonly reason?: string;
  readonly message?: string;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface ApiClient {
  /** Whatever the status is; throws when there is no answer. */
  send(method: string, path: string, body?: unknown, type?: string): Promise<Answer>;
  /** Throws unless the status is one of success. */
  get(path: string): Promise<ApiObject>;
  list(path: string): Promise<readonly ApiObject[]>;
  create(path: string, body: unknown): Promise<ApiObject>;
  /** A merge patch. */
  patch(path: string, body: unknown): Promise<ApiObject>;
  delete(path: string, body?: unknown): Promise<void>;
}

/** Speaks JSON with the API server on this machine. */
export function createApiClient(port: number, authority: string, token: string): ApiClient {
  const agent = new Agent({ ca: authority, keepAlive: true });
  const send: ApiClient["send"] = (method, path, body, type = "application/json") =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      const headers = {
        authorization: `Bearer ${token}`,
        "content-type": type,
        "content-length": Buffer.byteLength(text),
      };
      const options = { host: "127.0.0.1", port, path, method, headers, agent, timeout: 20_000 };
      const asked = request(options, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const said = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: parse(said) });
        });
      });
      asked.on("timeout", () => asked.destroy(new Error(`${method} ${path}: no answer`)));
      asked.on("error", reject);
      asked.end(text);
    });
  const ask = async (method: string, path: string, body?: unknown, type?: string) => {
    const answer = await send(method, path, body, type);
    if (answer.status >= 200 && answer.status < 300) return answer.body;
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  };
  return {
    send,
    get: async (path) => (await ask("GET", path)) as ApiObject,
    list: async (path) => ((await ask("GET", path)) as { items: readonly ApiObject[] }).items,
    create: async (path, body) => (await ask("POST", path, body)) as ApiObject,
    patch: async (path, body) =>
      (await ask("PATCH", path, body, "application/merge-patch+json")) as ApiObject,
    delete: async (path, body) => void (await ask("DELETE", path, body)),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
