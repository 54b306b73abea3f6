/**
 * One hop of each wire between real processes, damaged while lines flow:
 *
 *     files -> sender: taildir -> file -> avro, thrift or grpc == cable == receiver: the same -> file -> file_roll
 */
import {
  type AgentProcess,
  createAgentProcess,
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  createTcpProxy,
  freePort,
  type NumberedWriter,
  type Oracle,
  tempDirectory,
  type TcpProxy,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

interface Hop {
  readonly sender: AgentProcess;
  readonly receiver: AgentProcess;
  readonly cable: TcpProxy;
  readonly writer: NumberedWriter;
  readonly oracle: Oracle;
  /** Waits until so many more lines have arrived. */
  progress(lines: number): Promise<void>;
}

type Fault = (hop: Hop) => Promise<void>;

/**
 * When this resolves the receiver has stored a batch whose OK is lost: the sender has given the answer
 * up, and begins anew on another connection.
 */
async function loseAReply({ cable }: Hop): Promise<void> {
  const { bytesSwallowed, connections } = cable.counters;
  await cable.setMode("swallow-replies");
  await waitFor(
    "a reply that is lost, and its sender to begin anew",
    () =>
      cable.counters.bytesSwallowed > bytesSwallowed && cable.counters.connections > connections,
    30_000,
  );
}

const senderKilled: Fault = async (hop) => {
  await loseAReply(hop);
  await hop.sender.kill("SIGKILL");
  hop.oracle.fault("SIGKILL of the sender");
  await hop.cable.setMode("pass");
  await hop.sender.start();
};

const receiverKilled: Fault = async (hop) => {
  await hop.receiver.kill("SIGKILL");
  hop.oracle.fault("SIGKILL of the receiver");
  await hop.receiver.start();
};

const linkCut: Fault = async (hop) => {
  for (let i = 0; i < 3; i++) {
    await hop.progress(50);
    await waitFor("a connection to cut", () => hop.cable.cut() > 0, 30_000);
    hop.oracle.fault("cut link");
  }
};

const replyLost: Fault = async (hop) => {
  await loseAReply(hop);
  hop.oracle.fault("lost reply");
  await hop.cable.setMode("pass");
};

const wires: readonly {
  readonly wire: "avro" | "thrift" | "grpc";
  /** `twice`: the batch was surely stored before its reply was lost, so it must come again. */
  readonly tests: readonly { readonly title: string; readonly fault: Fault; readonly twice: boolean }[]; // prettier-ignore
}[] = [
  {
    wire: "avro",
    tests: [
      { title: "an avro sender killed before it hears OK sends again [lost: avro-hop | sender killed | nothing; some twice]", fault: senderKilled, twice: true }, // prettier-ignore
      { title: "an avro receiver killed has what it said OK to [lost: avro-hop | receiver killed | nothing; some twice]", fault: receiverKilled, twice: false }, // prettier-ignore
      { title: "a cut avro link loses nothing [lost: avro-hop | link cut | nothing; some twice]", fault: linkCut, twice: false }, // prettier-ignore
      { title: "an OK over avro that is lost makes the batch come again [lost: avro-hop | reply lost | nothing; some twice]", fault: replyLost, twice: true }, // prettier-ignore
    ],
  },
  {
    wire: "thrift",
    tests: [
      { title: "a thrift sender killed before it hears OK sends again [lost: thrift-hop | sender killed | nothing; some twice]", fault: senderKilled, twice: true }, // prettier-ignore
      { title: "a thrift receiver killed has what it said OK to [lost: thrift-hop | receiver killed | nothing; some twice]", fault: receiverKilled, twice: false }, // prettier-ignore
      { title: "a cut thrift link loses nothing [lost: thrift-hop | link cut | nothing; some twice]", fault: linkCut, twice: false }, // prettier-ignore
      { title: "an OK over thrift that is lost makes the batch come again [lost: thrift-hop | reply lost | nothing; some twice]", fault: replyLost, twice: true }, // prettier-ignore
    ],
  },
  {
    wire: "grpc",
    tests: [
      { title: "a grpc sender killed before it hears OK sends again [lost: grpc-hop | sender killed | nothing; some twice]", fault: senderKilled, twice: true }, // prettier-ignore
      { title: "a grpc receiver killed has what it said OK to [lost: grpc-hop | receiver killed | nothing; some twice]", fault: receiverKilled, twice: false }, // prettier-ignore
      { title: "a cut grpc link loses nothing [lost: grpc-hop | link cut | nothing; some twice]", fault: linkCut, twice: false }, // prettier-ignore
      { title: "an Ack over grpc that is lost makes the batch come again [lost: grpc-hop | reply lost | nothing; some twice]", fault: replyLost, twice: true }, // prettier-ignore
    ],
  },
];

void test("one hop of each wire, damaged while lines flow", { concurrency: true }, async (t) => {
  await Promise.all(
    wires.map(({ wire, tests }) =>
      t.test(`over ${wire}`, async (tt) => {
        const hop = await startHop(tt, wire);
        for (const { title, fault, twice } of tests) {
          await tt.test(title, (ttt) => damage(ttt, hop, fault, twice));
        }
        assert.equal(hop.oracle.faults.size, tests.length);
      }),
    ),
  );
});

async function damage(t: TestContext, hop: Hop, fault: Fault, twice: boolean): Promise<void> {
  const { writer, oracle } = hop;
  const before = oracle.judge.totals();
  const faultsBefore = countOf(oracle);
  writer.start();
  await hop.progress(100);
  await fault(hop);
  await hop.progress(100);
  await writer.stop();
  oracle.faultsEnded();
  await writer.write(50);
  await oracle.settled(60_000);
  const report = await oracle.check({
    lines: before.issued + 250,
    faults: faultsBefore + 1,
    duplicates: before.duplicates + (twice ? 1 : 0),
    tornLinesMax: oracle.faults.get("SIGKILL of the receiver") ?? 0,
  });
  t.diagnostic(report.text);
}

function countOf({ faults }: Oracle): number {
  return [...faults.values()].reduce((sum, count) => sum + count, 0);
}

async function startHop(t: TestContext, wire: string): Promise<Hop> {
  const folder = await tempDirectory(t);
  await mkdir(join(folder, "in"));
  await mkdir(join(folder, "out"));
  const port = await freePort();
  const cable = await createTcpProxy({ host: "127.0.0.1", port });
  t.after(() => cable.close());
  const agent = async (name: string, text: string): Promise<AgentProcess> => {
    const configFile = join(folder, `${name}.conf`);
    await writeFile(configFile, text);
    return createAgentProcess(t, { name, configFile });
  };
  const receiver = await agent("receiver", receiverConfig(folder, wire, port));
  const sender = await agent("sender", senderConfig(folder, wire, cable.port));
  await Promise.all([receiver.start(), sender.start()]);
  const oracle = createOracle({
    positionFile: join(folder, "positions.json"),
    outputs: { receiver: join(folder, "out") },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: [join(folder, "in", "a.log")],
    linesPerSecond: 500,
    lineBytes: 100,
    random: createSeededRandom(1),
  });
  t.after(() => writer.close());
  return {
    ...{ sender, receiver, cable, writer, oracle },
    async progress(lines) {
      await oracle.progress(lines, 60_000);
    },
  };
}

const senderConfig = (folder: string, wire: string, port: number): string => `
sender.sources = logs
sender.channels = disk
sender.sinks = out
sender.sources.logs.type = TAILDIR
sender.sources.logs.channels = disk
sender.sources.logs.filegroups = all
sender.sources.logs.filegroups.all = ${folder}/in/.*[.]log
sender.sources.logs.positionFile = ${folder}/positions.json
sender.sources.logs.writePosInterval = 500
sender.sources.logs.backoffSleepIncrement = 100
sender.sources.logs.batchSize = 50
sender.channels.disk.type = file
sender.channels.disk.dataDirs = ${folder}/sender-data
sender.channels.disk.minimumRequiredSpace = 1048576
sender.sinks.out.type = ${wire}
sender.sinks.out.channel = disk
sender.sinks.out.hostname = 127.0.0.1
sender.sinks.out.port = ${port}
sender.sinks.out.batch-size = 50
sender.sinks.out.connect-timeout = 1000
sender.sinks.out.request-timeout = 1500
`;

const receiverConfig = (folder: string, wire: string, port: number): string => `
receiver.sources = in
receiver.channels = disk
receiver.sinks = out
receiver.sources.in.type = ${wire}
receiver.sources.in.channels = disk
receiver.sources.in.bind = 127.0.0.1
receiver.sources.in.port = ${port}
receiver.channels.disk.type = file
receiver.channels.disk.dataDirs = ${folder}/receiver-data
receiver.channels.disk.minimumRequiredSpace = 1048576
receiver.sinks.out.type = file_roll
receiver.sinks.out.channel = disk
receiver.sinks.out.sink.directory = ${folder}/out
receiver.sinks.out.sink.rollInterval = 5
receiver.sinks.out.sink.batchSize = 100
`;
