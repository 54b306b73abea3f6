export interface Sample {
  readonly name: string;
  readonly batch: number;
  readonly round: number;
  readonly eventsPerSecond: number;
  readonly cpuSecondsPerMillion?: number;
  readonly residentMiB?: number;
}

/** Each wire is compared with plain Avro under the same load. */
const avroByClient = "client -> avro -> memory -> null";
const avroRelayByClient = "client -> two tiers of avro";

const comparedWith: Record<string, string> = {
  "avro -> memory -> null": "bare frame-and-count",
  "two tiers, memory": "bare frame-and-count",
  "avro -> file -> null": "bare write + fdatasync",
  "two tiers, file": "bare write + fdatasync",
  "file channel put": "bare write + fdatasync",
  ...Object.fromEntries(
    ["avro-tls", "avro-deflate", "thrift", "grpc"].flatMap((wire) => [
      [`client -> ${wire} -> memory -> null`, avroByClient],
      [`client -> two tiers of ${wire}`, avroRelayByClient],
    ]),
  ),
};

/** The table of medians, as Markdown. Ratios are made within a round, then their median taken. */
export function printTable(samples: readonly Sample[]): void {
  console.log("| path | batch | events/s | against | ratio | CPU s per million | MiB |");
  console.log("|---|---|---|---|---|---|---|");
  for (const batch of new Set(samples.map((sample) => sample.batch))) {
    for (const name of new Set(samples.map((sample) => sample.name))) {
      const own = samples.filter((sample) => sample.batch === batch && sample.name === name);
      const bare = comparedWith[name];
      const ratios = own.map((sample) => {
        const other = samples.find(
          (s) => s.batch === batch && s.name === bare && s.round === sample.round,
        );
        return other === undefined ? NaN : sample.eventsPerSecond / other.eventsPerSecond;
      });
      const cells = [
        name,
        batch,
        Math.round(median(own.map((sample) => sample.eventsPerSecond))).toLocaleString("en"),
        bare ?? "",
        bare === undefined ? "" : median(ratios).toFixed(2),
        figure(
          own.map((sample) => sample.cpuSecondsPerMillion),
          2,
        ),
        figure(
          own.map((sample) => sample.residentMiB),
          0,
        ),
      ];
      console.log(`| ${cells.join(" | ")} |`);
    }
  }
}

function figure(values: readonly (number | undefined)[], digits: number): string {
  const given = values.filter((value) => value !== undefined);
  return given.length === 0 ? "" : median(given).toFixed(digits);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
