/** Flume's client types, and ours. */
export const clientTypes = [
  "default",
  "default_failover",
  "default_loadbalance",
  "thrift",
  "grpc",
] as const;
export type ClientType = (typeof clientTypes)[number];

const javaClasses: Readonly<Record<string, ClientType>> = {
  "org.apache.flume.api.nettyavrorpcclient": "default",
  "org.apache.flume.api.failoverrpcclient": "default_failover",
  "org.apache.flume.api.loadbalancingrpcclient": "default_loadbalance",
  "org.apache.flume.api.thriftrpcclient": "thrift",
};

/** The type that a name of Flume's means, in any case; undefined when it means none. */
export function readClientType(name: string): ClientType | undefined {
  const lower = name.toLowerCase();
  return clientTypes.find((type) => type === lower) ?? javaClasses[lower];
}
