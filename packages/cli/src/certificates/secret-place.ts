import { type Answer, ask, type Cluster } from "./cluster.ts";
import type { CertificateAndKey } from "./certificate.ts";
import type { CertificatePlace } from "./renew.ts";

/** Says that a secret was made here, and may be renewed here. */
const madeBy = "millrace.io/made-by";

interface Secret {
  readonly data: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly resourceVersion: string;
}

/**
 * Two secrets: `<name>` with ca.crt, tls.crt and tls.key, which agents mount, and `<name>-ca` with the authority's
 * key, which nobody mounts.
 */
export function createSecretPlace(
  cluster: Cluster,
  namespace: string,
  name: string,
): CertificatePlace {
  const path = `/api/v1/namespaces/${namespace}/secrets`;
  const title = `secret ${namespace}/${name}`;
  const read = async (secret: string): Promise<Secret | undefined> => {
    const answer = await ask(cluster, "GET", `${path}/${secret}`);
    if (answer.status === 404) return undefined;
    expectStatus(answer, `reading secret ${namespace}/${secret}`, 200);
    return secretOf(answer);
  };
  const body = (secret: string, data: Readonly<Record<string, string>>, version?: string) => ({
    apiVersion: "v1",
    kind: "Secret",
    type: "Opaque",
    metadata: {
      ...{ name: secret, namespace, labels: { [madeBy]: "make-certs" } },
      ...(version === undefined ? {} : { resourceVersion: version }),
    },
    data: Object.fromEntries(
      Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
    ),
  });
  const readAuthority = async (): Promise<CertificateAndKey | undefined> => {
    const secret = await read(`${name}-ca`);
    return secret === undefined ? undefined : pairOf(secret, "ca.crt", "ca.key");
  };

  return {
    name: title,
    async read() {
      const secret = await read(name);
      if (secret !== undefined && secret.labels[madeBy] === undefined) return "foreign";
      const authority = await readAuthority();
      const certificate = secret === undefined ? undefined : pairOf(secret, "tls.crt", "tls.key");
      return {
        ...(authority === undefined ? {} : { authority }),
        ...(certificate === undefined ? {} : { certificate }),
      };
    },
    async writeAuthority(authority) {
      const { certificate, key } = authority;
      const answer = await ask(
        cluster,
        "POST",
        path,
        body(`${name}-ca`, { "ca.crt": certificate, "ca.key": key }),
      );
      // Another Job was quicker.
      const other = answer.status === 409 ? await readAuthority() : undefined;
      if (other !== undefined) return other;
      expectStatus(answer, `making secret ${namespace}/${name}-ca`, 201);
      return authority;
    },
    async writeCertificate({ certificate, key }, authority) {
      const data = { "ca.crt": authority, "tls.crt": certificate, "tls.key": key };
      const old = await read(name);
      const answer =
        old === undefined
          ? await ask(cluster, "POST", path, body(name, data))
          : await ask(cluster, "PUT", `${path}/${name}`, body(name, data, old.resourceVersion));
      // Whoever wrote it meanwhile had the same authority.
      if (answer.status === 409) return;
      expectStatus(answer, `writing ${title}`, old === undefined ? 201 : 200);
    },
  };
}

function secretOf({ body }: Answer): Secret {
  const metadata = textsAndMore(body["metadata"]);
  return {
    data: texts(body["data"]),
    labels: texts(metadata["labels"]),
    resourceVersion: typeof metadata["resourceVersion"] === "string" ? metadata["resourceVersion"] : "", // prettier-ignore
  };
}

function pairOf({ data }: Secret, certificate: string, key: string): CertificateAndKey | undefined {
  const [first, second] = [data[certificate], data[key]];
  if (first === undefined || second === undefined) return undefined;
  const text = (base64: string): string => Buffer.from(base64, "base64").toString();
  return { certificate: text(first), key: text(second) };
}

function textsAndMore(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function texts(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(textsAndMore(value));
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string")); // prettier-ignore
}

function expectStatus({ status, body }: Answer, what: string, wanted: number): void {
  if (status === wanted) return;
  const message = typeof body["message"] === "string" ? body["message"] : "no message";
  const hint = status === 403 ? "; the Role of the hook Job allows it (security.rbac.create)" : "";
  throw new Error(`${what}: the API server answered ${status}: ${message}${hint}`);
}
