import { choice, integer, list, type OptionsOf, text } from "@millrace/core";
import { hostAddressProblem } from "@millrace/rpc/discovery";

/**
 * What the sources of all wires let an operator set about Consul. Spread it into a source's
 * options, and add what `checkRegistration` says to the source's own problems.
 */
export const registrationOptions = {
  consulService: text(
    "consul.service",
    "Registers this source in Consul under this name while it listens; senders find it as consul://<name>. Not registered when not set.",
  ),
  consulTags: list("consul.tags", "Tags of the registration, by which senders may choose.", {
    separator: "comma",
  }),
  consulAddress: text(
    "consul.address",
    "Host or address that senders are told. Without it: bind, or for a bind of all addresses that of the Consul agent's node.",
  ),
  consulCheck: choice(
    "consul.check",
    ["tcp", "ttl"],
    "How Consul knows that the source is there: it connects (tcp), or the source says so (ttl), which needs no way from Consul to the source.",
    { default: "tcp" },
  ),
  consulIntervalSeconds: integer("consul.interval", "How often the tcp check connects.", {
    default: 10,
    min: 1,
    max: 86_400,
    unit: "s",
  }),
  consulTtlSeconds: integer(
    "consul.ttl",
    "How long the ttl check holds; the source says so at a third of it.",
    { default: 30, min: 3, max: 86_400, unit: "s" },
  ),
  consulDeregisterAfterSeconds: integer(
    "consul.deregisterAfter",
    "Consul forgets a source whose check has failed for this long; a stop in order deregisters at once.",
    { default: 3600, min: 60, max: 30 * 86_400, unit: "s" },
  ),
  consulAgent: text(
    "consul.agent",
    "Consul agent: host:port, https://host:port or unix:///path. Without it the environment's CONSUL_HTTP_ADDR, or 127.0.0.1:8500.",
  ),
  consulTokenFile: text(
    "consul.tokenFile",
    "File that holds the token, with service:write. Without it the environment's CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE.",
  ),
};

export type RegistrationOptions = OptionsOf<typeof registrationOptions>;

/** Problems of the registration, for a source's `check`. */
export function checkRegistration(
  options: RegistrationOptions,
): readonly { key: string; message: string }[] {
  const { consulService, consulAddress, consulAgent, consulTags, consulTokenFile } = options;
  if (consulService === undefined) {
    const given = [
      ["consul.address", consulAddress],
      ["consul.agent", consulAgent],
      ["consul.tokenFile", consulTokenFile],
      ["consul.tags", consulTags[0]],
    ] as const;
    return given
      .filter(([, value]) => value !== undefined)
      .map(([key]) => ({ key, message: "is read only with consul.service" }));
  }
  const problems: { key: string; message: string }[] = [];
  const refuse = (key: string, message: string | undefined): void => {
    if (message !== undefined) problems.push({ key, message });
  };
  if (/[\s:/?#@]/.test(consulService)) {
    refuse("consul.service", `"${consulService}" is no name of a service`);
  }
  if (consulAgent !== undefined) {
    refuse(
      "consul.agent",
      hostAddressProblem(`consul://x?agent=${encodeURIComponent(consulAgent)}`),
    );
  }
  if (consulAddress !== undefined && /[\s/?#@[\]]/.test(consulAddress)) {
    refuse("consul.address", `"${consulAddress}" is no host or address; the port is the source's`);
  }
  return problems;
}
