import { list, type OptionsOf, text } from "@millrace/core";
import type { TlsChoice, TlsStore } from "./security.ts";

/** A problem between options, as a definition's `check` reports it. */
export interface OptionCheck {
  readonly key: string;
  readonly message: string;
}

/** Java's system properties, given by -D, with Flume's environment variables folded in. */
export type SystemProperties = ReadonlyMap<string, string>;

export const storeTypes = ["JKS", "PKCS12", "PEM"] as const;

/** Which protocols and cipher suites; spread into the options of a server or a client. */
export const tlsChoiceOptions = {
  includeProtocols: list(
    "include-protocols",
    "TLS versions to take, such as TLSv1.2 TLSv1.3; all that are safe when not given.",
  ),
  excludeProtocols: list(
    "exclude-protocols",
    "TLS versions never to take; SSLv3 is always among them.",
  ),
  includeCipherSuites: list(
    "include-cipher-suites",
    "Cipher suites to take, by their Java or OpenSSL names; Node's when not given.",
  ),
  excludeCipherSuites: list("exclude-cipher-suites", "Cipher suites never to take."),
};

type ChoiceValues = OptionsOf<typeof tlsChoiceOptions>;

const storePropertyPrefix = { keystore: "javax.net.ssl.keyStore", truststore: "javax.net.ssl.trustStore" }; // prettier-ignore

interface StoreValues {
  readonly path: string | undefined;
  readonly password: string | undefined;
  readonly type: (typeof storeTypes)[number] | undefined;
  readonly keyPath?: string | undefined;
}

/**
 * A store from a component's values, each one not given filled from the system properties when
 * `global` is so; undefined when there is no path.
 */
export function storeOf(
  name: "keystore" | "truststore",
  own: StoreValues,
  global: SystemProperties,
): TlsStore | undefined {
  const property = storePropertyPrefix[name];
  const path = own.path ?? given(global, property);
  if (path === undefined) return undefined;
  const password = own.password ?? given(global, `${property}Password`);
  const type = own.type ?? storeType(given(global, `${property}Type`) ?? "JKS") ?? "JKS";
  return {
    path,
    type,
    ...(password === undefined ? {} : { password }),
    ...(own.keyPath === undefined ? {} : { keyPath: own.keyPath }),
  };
}

/** Says so when the type that would be taken from the system properties is none. */
export function checkStoreType(
  name: "keystore" | "truststore",
  own: StoreValues,
  global: SystemProperties,
): readonly OptionCheck[] {
  const property = `${storePropertyPrefix[name]}Type`;
  const type = given(global, property);
  if (own.type !== undefined || type === undefined || storeType(type) !== undefined) return [];
  const message = `${property} = ${type} is not a type of store; use ${storeTypes.join(", ")}`;
  return [{ key: `${name}-type`, message }];
}

/** The protocols and suites of a component; what it does not name is as the system properties say. */
export function tlsChoiceOf(own: ChoiceValues, global: SystemProperties): TlsChoice {
  const pick = (values: readonly string[], property: string): readonly string[] =>
    values.length > 0 ? values : words(given(global, property));
  return {
    includeProtocols: pick(own.includeProtocols, "flume.ssl.include.protocols"),
    excludeProtocols: pick(own.excludeProtocols, "flume.ssl.exclude.protocols"),
    includeCipherSuites: pick(own.includeCipherSuites, "flume.ssl.include.cipherSuites"),
    excludeCipherSuites: pick(own.excludeCipherSuites, "flume.ssl.exclude.cipherSuites"),
  };
}

export const passwordOption = <const K extends "keystore" | "truststore">(name: K) =>
  text(`${name}-password`, `Password of the ${name}.`);

function given(properties: SystemProperties, name: string): string | undefined {
  return properties.get(name)?.trim() || undefined;
}

/** Global lists have commas, which Flume turns into spaces. */
function words(value: string | undefined): readonly string[] {
  return value === undefined ? [] : value.split(/[\s,]+/).filter((word) => word !== "");
}

function storeType(value: string): (typeof storeTypes)[number] | undefined {
  return storeTypes.find((type) => type === value.toUpperCase());
}
