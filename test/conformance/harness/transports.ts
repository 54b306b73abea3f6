import type { FlumeVersion } from "./fetch-flume.ts";
import type { TlsStores } from "./tls-stores.ts";

/** A way to speak one of the wires; what each side writes under its source or sink for it. */
export interface Transport {
  readonly name: string;
  readonly wire: "avro" | "thrift";
  readonly javaSource: Settings;
  readonly javaSink: Settings;
  readonly ourSource: Settings;
  readonly ourSink: Settings;
}

export type Settings = Readonly<Record<string, string>>;

/** Everything that this Flume and Millrace can both be told to speak. */
export function transports(version: FlumeVersion, stores: TlsStores): readonly Transport[] {
  const { password } = stores;
  const deflate: Settings = { "compression-type": "deflate" };
  const tls = {
    javaSource: keystore(stores.keystoreJks, password, undefined),
    javaSink: truststore(stores.truststoreJks, password, undefined),
    ourSource: keystore(stores.keystoreJks, password, undefined),
    ourSink: truststore(stores.truststoreJks, password, undefined),
  };
  // Both know PKCS12, and only we know PEM.
  const otherTls = {
    javaSource: keystore(stores.keystorePkcs12, password, "PKCS12"),
    javaSink: truststore(stores.truststorePkcs12, password, "PKCS12"),
    ourSource: keystore(stores.keystorePkcs12, password, "PKCS12"),
    ourSink: { ssl: "true", truststore: stores.certificatePem, "truststore-type": "PEM" },
  };
  // Netty 3 cannot shake hands in TLS 1.3 with us: see "TLS 1.3" in the README. Either side may forgo it.
  const oldTls: Settings = version === "1.9.0" ? { "exclude-protocols": "TLSv1.3" } : {};
  // Only our client has to be told: our source looks which of the two comes first.
  const layering: Settings = version === "1.9.0" ? { tlsLayering: "1.9" } : {};
  return [
    both("avro plain", "avro", {}),
    both("avro deflate", "avro", deflate),
    { name: "avro TLS", wire: "avro", ...tls, ourSource: { ...tls.ourSource, ...oldTls } },
    {
      name: "avro TLS and deflate",
      wire: "avro",
      javaSource: { ...otherTls.javaSource, ...deflate },
      javaSink: { ...otherTls.javaSink, ...deflate, ...oldTls },
      ourSource: { ...otherTls.ourSource, ...deflate },
      ourSink: { ...otherTls.ourSink, ...deflate, ...layering },
    },
    both("thrift compact", "thrift", {}),
    both("thrift binary", "thrift", { protocol: "binary" }),
    withProtocol("thrift compact TLS", "compact", tls),
    withProtocol("thrift binary TLS", "binary", otherTls),
  ];
}

type Sides = Pick<Transport, "javaSource" | "javaSink" | "ourSource" | "ourSink">;

function both(name: string, wire: "avro" | "thrift", settings: Settings): Transport {
  const sides = {
    javaSource: settings,
    javaSink: settings,
    ourSource: settings,
    ourSink: settings,
  };
  return { name, wire, ...sides };
}

function withProtocol(name: string, protocol: string, sides: Sides): Transport {
  return {
    name,
    wire: "thrift",
    javaSource: { ...sides.javaSource, protocol },
    javaSink: { ...sides.javaSink, protocol },
    ourSource: { ...sides.ourSource, protocol },
    ourSink: { ...sides.ourSink, protocol },
  };
}

function keystore(path: string, password: string, type: string | undefined): Settings {
  const settings = { ssl: "true", keystore: path, "keystore-password": password };
  return type === undefined ? settings : { ...settings, "keystore-type": type };
}

function truststore(path: string, password: string, type: string | undefined): Settings {
  const settings = { ssl: "true", truststore: path, "truststore-password": password };
  return type === undefined ? settings : { ...settings, "truststore-type": type };
}
