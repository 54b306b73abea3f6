/** One entry of Consul's `/v1/health/service/<name>`, as far as it is needed to connect. */
export interface ServiceInstance {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
}

/** Entries without an address or port are left out: nobody can connect to them. */
export function parseInstances(body: unknown): readonly ServiceInstance[] {
  if (!Array.isArray(body)) return [];
  return body.flatMap((entry: unknown) => {
    const service = field(entry, "Service");
    const own = field(service, "Address");
    const address = own === "" || own === undefined ? field(field(entry, "Node"), "Address") : own;
    const port = field(service, "Port");
    const weight = field(field(service, "Weights"), "Passing");
    if (typeof address !== "string" || address === "") return [];
    if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) return [];
    return [{ address, port, weight: typeof weight === "number" && weight > 0 ? weight : 1 }];
  });
}

function field(of: unknown, name: string): unknown {
  return typeof of === "object" && of !== null && Object.hasOwn(of, name)
    ? (of as Record<string, unknown>)[name]
    : undefined;
}
