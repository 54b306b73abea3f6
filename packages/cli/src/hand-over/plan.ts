import type { AgentConfiguration } from "@millrace/agent";
import { type ToolTarget, targetOf, type TargetSurroundings } from "../file-channel/words.ts";
import { clientPropertiesOf } from "./client-properties.ts";

/** A channel that keeps events in directories. */
export interface KeptChannel extends ToolTarget {
  readonly name: string;
  /** Why its events are not for siblings; undefined when they are. */
  readonly stays: string | undefined;
}

export interface HandOverPlan {
  readonly channels: readonly KeptChannel[];
  /** TLS and compression as the agent's own source has them: siblings run the same configuration. */
  readonly clientProperties: ReadonlyMap<string, string>;
  /** Where this agent listened. */
  readonly listened: readonly { readonly bind: string; readonly port: number }[];
}

type Values = Readonly<Record<string, unknown>>;

/** What an agent of this configuration can hand over, and how its siblings are spoken to. */
export function planHandOver(
  { channels, sources }: Pick<AgentConfiguration, "channels" | "sources">,
  around: TargetSurroundings,
): HandOverPlan {
  const avro = [...sources.values()].filter(({ type }) => type === "avro");
  const listened = avro.map(({ options }) => {
    const { bind, port } = options as Values;
    return { bind: String(bind), port: Number(port) };
  });
  const kept = [...channels.values()].flatMap(({ name, options }): KeptChannel[] => {
    if (!Array.isArray((options as Values)["dataDirs"])) return [];
    const filledBy = avro.filter((source) => source.channels.includes(name));
    return [{ name, ...targetOf(options, around), stays: whyItStays(name, filledBy) }];
  });
  const [first] = avro;
  const clientProperties = first === undefined ? new Map() : clientPropertiesOf(first.options);
  return { channels: kept, clientProperties, listened };
}

function whyItStays(
  name: string,
  filledBy: readonly {
    readonly name: string;
    readonly channels: readonly string[];
    readonly selector: { readonly type: string };
  }[],
): string | undefined {
  if (filledBy.length === 0) return `no Avro source fills ${name}, so a sibling's would not either`;
  const copies = filledBy.find(
    ({ channels, selector }) => channels.length > 1 && selector.type === "replicating",
  );
  if (copies === undefined) return undefined;
  const others = copies.channels.filter((channel) => channel !== name).join(", ");
  return `source ${copies.name} copies its events to ${others} too, where a sibling would have them twice`;
}
