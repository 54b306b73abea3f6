import { parseArgs } from "node:util";

/** What `make-certs` is asked to do. */
export interface MakeCertsWords {
  readonly names: readonly string[];
  readonly days: number;
  readonly place:
    | { readonly kind: "directory"; readonly path: string }
    | {
        readonly kind: "secret";
        readonly name: string;
        readonly namespace: string;
        /** Directory with the token and ca.crt of a service account; the pod's own when not given. */
        readonly account: string | undefined;
      };
}

export const makeCertsUsage = `usage: millrace make-certs --name <host>... (--out <dir> | --secret <name> --namespace <ns>)

Makes an authority and a certificate that edges and collectors show each other. What is there and good stays:
the authority for good, the certificate until the last third of its time. Run it again to renew.

  --name <host>      a name of the collectors; several are fine, senders ask for the first (serverName)
  --days <n>         how long the certificate holds: 1095
  --out <dir>        writes ca.crt, ca.key, tls.crt and tls.key; keep ca.key away from agents
  --secret <name>    in a pod: the same as secrets <name> and <name>-ca of Kubernetes
  --namespace <ns>   their namespace
  --account <dir>    token and ca.crt of the service account, where they are not at their usual place`;

const text = { type: "string" } as const;
const known = {
  name: { ...text, multiple: true },
  days: text,
  out: text,
  secret: text,
  namespace: text,
  account: text,
  help: { type: "boolean", short: "h" },
} as const;

const hostName = /^(\*\.)?[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?$/;
const kubernetesName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** The words, or `"help"`, or what is wrong with them. */
export function parseMakeCertsWords(
  args: readonly string[],
): MakeCertsWords | "help" | { readonly problem: string } {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options: known, strict: true }));
  } catch (error) {
    return { problem: (error as Error).message.replace(/\. To specify a positional[\s\S]*$/, "") };
  }
  if (values.help === true) return "help";
  const { name: names = [], days = "1095", out, secret, namespace, account } = values;
  if (names.length === 0) return { problem: "give a --name that the collectors are reached by" };
  const wrong = names.find((name) => !hostName.test(name));
  if (wrong !== undefined) return { problem: `--name ${wrong} is no host name` };
  if (!/^[1-9]\d{0,4}$/.test(days) || Number(days) > 36_500) {
    return { problem: `--days ${days} is not a whole number from 1 to 36500` };
  }
  const rest = { names, days: Number(days) };
  if ((out === undefined) === (secret === undefined)) {
    return { problem: "give --out <dir> or --secret <name>, one of them" };
  }
  if (out !== undefined) return { ...rest, place: { kind: "directory", path: out } };
  if (namespace === undefined) return { problem: "--secret needs --namespace" };
  for (const given of [secret ?? "", namespace]) {
    if (!kubernetesName.test(given)) return { problem: `${given} is no name of Kubernetes` };
  }
  return { ...rest, place: { kind: "secret", name: secret ?? "", namespace, account } };
}
