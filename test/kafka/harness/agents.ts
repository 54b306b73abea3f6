import { type AgentProcess, createAgentProcess, freePort } from "@millrace/testing";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface AgentOptions {
  readonly folder: string;
  readonly name: string;
  /** Properties of the Kafka channel. */
  readonly channel: Readonly<Record<string, string>>;
  /** Listens with an Avro source; takes into files when false. */
  readonly puts: boolean;
  readonly takes: boolean;
}

/** One of our agents around a Kafka channel. */
export interface KafkaAgent {
  readonly process: AgentProcess;
  /** Of its Avro source. */
  readonly port: number;
  /** The bodies in its files, as they are now. */
  bodies(): Promise<string[]>;
}

export async function createKafkaAgent(
  test: TestContext,
  { folder, name, channel, puts, takes }: AgentOptions,
): Promise<KafkaAgent> {
  const port = await freePort();
  const output = join(folder, `${name}-out`);
  await mkdir(output, { recursive: true });
  const lines = [
    "a1.channels = c",
    "a1.channels.c.type = org.apache.flume.channel.kafka.KafkaChannel",
  ];
  for (const [key, value] of Object.entries(channel)) lines.push(`a1.channels.c.${key} = ${value}`);
  if (puts) {
    lines.push(
      ...["a1.sources = r", "a1.sources.r.type = avro", "a1.sources.r.channels = c"],
      ...["a1.sources.r.bind = 127.0.0.1", `a1.sources.r.port = ${port}`],
    );
  }
  if (takes) {
    lines.push(
      ...["a1.sinks = k", "a1.sinks.k.type = file_roll", "a1.sinks.k.channel = c"],
      ...[`a1.sinks.k.sink.directory = ${output}`, "a1.sinks.k.sink.rollInterval = 0"],
    );
  }
  const configFile = join(folder, `${name}.conf`);
  await writeFile(configFile, `${lines.join("\n")}\n`);
  return {
    process: await createAgentProcess(test, { name: "a1", configFile }),
    port,
    async bodies() {
      const names = await readdir(output);
      const texts = await Promise.all(names.map((one) => readFile(join(output, one), "utf8")));
      return texts.flatMap((text) => text.split("\n").filter((line) => line !== ""));
    },
  };
}
