import { didYouMean } from "@millrace/core";
import { getCiphers, type SecureVersion } from "node:tls";
import { cipherSuites, isJavaSuite, isTls13 } from "./cipher-suites.ts";
import type { TlsChoice } from "./security.ts";

/** What node:tls takes. */
export interface TlsSettings {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  /** As OpenSSL writes a list; Node's own when not given. */
  readonly ciphers?: string;
}

/** What is switched on, as in Java since 2021; the others are only known, to be left out. */
const enabledProtocols = ["TLSv1.2", "TLSv1.3"] as const;
const knownProtocols = ["SSLv2Hello", "SSLv3", "TLSv1", "TLSv1.1", ...enabledProtocols] as const;
type Protocol = (typeof enabledProtocols)[number];

interface Worked {
  readonly protocols: readonly Protocol[];
  /** By Java's names; undefined is what Node has. */
  readonly suites: readonly string[] | undefined;
  readonly problems: readonly { key: string; message: string }[];
}

/** The choice as node:tls takes it. It is one that `checkTlsChoice` has no problem with. */
export function tlsSettings(choice: TlsChoice): TlsSettings {
  const { protocols, suites } = work(choice);
  const minVersion = protocols[0] ?? "TLSv1.2";
  const maxVersion = protocols.at(-1) ?? "TLSv1.3";
  if (suites === undefined) return { minVersion, maxVersion };
  const ciphers = suites.map((suite) => cipherSuites.get(suite)).join(":");
  return { minVersion, maxVersion, ciphers };
}

/** Everything that makes the choice unusable: names that mean nothing, or nothing that is left. */
export function checkTlsChoice(choice: TlsChoice): readonly { key: string; message: string }[] {
  return work(choice).problems;
}

/**
 * As Java Flume: what is switched on, of it what is included if anything is, without what is
 * excluded. A protocol that no suite is left for is not offered.
 */
function work(choice: TlsChoice): Worked {
  const problems: { key: string; message: string }[] = [];
  const wanted = workProtocols(choice, problems);
  const suites = workSuites(choice, problems);
  if (problems.length > 0 || suites === undefined) return { protocols: wanted, suites, problems };
  const usable = suites.filter((suite) => wanted.includes(isTls13(suite) ? "TLSv1.3" : "TLSv1.2"));
  const protocols = wanted.filter((protocol) =>
    usable.some((suite) => isTls13(suite) === (protocol === "TLSv1.3")),
  );
  if (protocols.length === 0) {
    const message = `no cipher suite is left for ${wanted.join(" and ")}; include one, or exclude fewer`;
    problems.push({ key: suitesKey(choice), message });
  }
  return { protocols, suites: usable, problems };
}

function workProtocols(
  { includeProtocols, excludeProtocols }: TlsChoice,
  problems: { key: string; message: string }[],
): readonly Protocol[] {
  const before = problems.length;
  for (const [key, names] of [
    ["include-protocols", includeProtocols],
    ["exclude-protocols", excludeProtocols],
  ] as const) {
    for (const name of names) {
      if ((knownProtocols as readonly string[]).includes(name)) continue;
      problems.push({ key, message: unknown(name, "TLS version", knownProtocols) });
    }
  }
  const left = enabledProtocols.filter(
    (protocol) =>
      (includeProtocols.length === 0 || includeProtocols.includes(protocol)) &&
      !excludeProtocols.includes(protocol),
  );
  if (left.length === 0 && problems.length === before) {
    const off = includeProtocols.filter((name) => !(enabledProtocols as readonly string[]).includes(name)); // prettier-ignore
    const why = off.length === 0 ? "" : `${off.join(" and ")} ${off.length === 1 ? "is" : "are"} unsafe and never on; `; // prettier-ignore
    const key = includeProtocols.length > 0 ? "include-protocols" : "exclude-protocols";
    const message = `no TLS version is left; ${why}take ${enabledProtocols.join(" or ")}`;
    problems.push({ key, message });
  }
  return left;
}

function workSuites(
  { includeCipherSuites, excludeCipherSuites }: TlsChoice,
  problems: { key: string; message: string }[],
): readonly string[] | undefined {
  if (includeCipherSuites.length + excludeCipherSuites.length === 0) return undefined;
  const known = knownSuites();
  const included = new Set<string>();
  for (const name of includeCipherSuites) {
    const suite = known.get(name.toUpperCase());
    if (suite !== undefined) included.add(suite);
    else if (isJavaSuite(name)) continue;
    else problems.push({ key: "include-cipher-suites", message: unknownSuite(name) });
  }
  const excluded = new Set<string>();
  for (const name of excludeCipherSuites) {
    const suite = known.get(name.toUpperCase());
    if (suite !== undefined) excluded.add(suite);
    else if (!isJavaSuite(name)) {
      problems.push({ key: "exclude-cipher-suites", message: unknownSuite(name) });
    }
  }
  const all = new Set(known.values());
  return [...all].filter(
    (suite) => (includeCipherSuites.length === 0 || included.has(suite)) && !excluded.has(suite),
  );
}

/** By the names of Java, now and when they began with SSL_, and of OpenSSL, in upper case. */
function knownSuites(): ReadonlyMap<string, string> {
  const here = new Set(getCiphers().map((name) => name.toUpperCase()));
  const known = new Map<string, string>();
  for (const [java, openssl] of cipherSuites) {
    if (!here.has(openssl.toUpperCase())) continue;
    known.set(java, java);
    known.set(java.replace(/^TLS_/, "SSL_"), java);
    known.set(openssl.toUpperCase(), java);
  }
  return known;
}

function suitesKey({ includeCipherSuites }: TlsChoice): string {
  return includeCipherSuites.length > 0 ? "include-cipher-suites" : "exclude-cipher-suites";
}

function unknownSuite(name: string): string {
  return unknown(name, "cipher suite", cipherSuites.keys());
}

function unknown(name: string, what: string, candidates: Iterable<string>): string {
  if (name.includes(",")) return `"${name}": separate the names by spaces`;
  return `"${name}" is no ${what} that is known${didYouMean(name, candidates)}`;
}
