import { integer, type OptionsOf, text } from "@millrace/core";

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

/** What a component says about the API server, to be spread into its own options. */
export const podOptions = {
  apiServer: text(
    "apiServer",
    "URL of the API server. In a pod it is known from KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.",
  ),
  tokenFile: text("tokenFile", "Holds the bearer token; read again when it is rotated.", {
    default: `${serviceAccount}/token`,
  }),
  caFile: text("caFile", "Holds the authority, in PEM, that signed the API server's certificate.", {
    default: `${serviceAccount}/ca.crt`,
  }),
  nodeName: text(
    "nodeName",
    "The node whose pods are watched. In a pod it is known from NODE_NAME, where the manifest sets it.",
  ),
  waitMs: integer(
    "waitMs",
    "How long a batch waits at most for what the API server says of its pods.",
    { default: 5000, max: 600_000, unit: "ms" },
  ),
};

/** Equal settings share one watch. */
export interface PodDirectorySettings {
  /** "https://10.0.0.1:443"; undefined where there is none: then nothing is ever known. */
  readonly apiServer: string | undefined;
  readonly tokenFile: string;
  readonly caFile: string;
  /** Undefined where nobody said: then nothing is ever known. */
  readonly nodeName: string | undefined;
  /** The bound of one look-up. */
  readonly waitMs: number;
}

/** The options with what the environment of a pod adds. */
export function podSettings(
  options: OptionsOf<typeof podOptions>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): PodDirectorySettings {
  const host = environment["KUBERNETES_SERVICE_HOST"] ?? "";
  const port = environment["KUBERNETES_SERVICE_PORT"] ?? "443";
  const inCluster = host === "" ? undefined : `https://${host.includes(":") ? `[${host}]` : host}:${port}`; // prettier-ignore
  const nodeName = options.nodeName ?? environment["NODE_NAME"] ?? "";
  return {
    apiServer: options.apiServer ?? inCluster,
    tokenFile: options.tokenFile,
    caFile: options.caFile,
    nodeName: nodeName === "" ? undefined : nodeName,
    waitMs: options.waitMs,
  };
}

/** What is wrong with the options though each of them is text. */
export function checkPodOptions({
  apiServer,
}: OptionsOf<typeof podOptions>): { key: string; message: string }[] {
  if (apiServer === undefined || isHttpUrl(apiServer)) return [];
  return [
    { key: "apiServer", message: `"${apiServer}" is not a URL such as https://10.96.0.1:443` },
  ];
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
