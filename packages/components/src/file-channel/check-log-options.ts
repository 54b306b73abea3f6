import type { LogOptions } from "./options.ts";

/** Problems between the options of a channel over the durable log, for `check` of its definition. */
export function checkLogOptions(
  options: LogOptions,
  capacity: number,
): { key: string; message: string }[] {
  const { transactionCapacity, encryption } = options;
  const problems: { key: string; message: string }[] = [];
  if (transactionCapacity > capacity) {
    problems.push({
      key: "transactionCapacity",
      message: `${transactionCapacity} is over capacity, which is ${capacity}`,
    });
  }
  const [encrypted] = encryption.keys();
  if (encrypted !== undefined) {
    problems.push({
      key: `encryption.${encrypted}`,
      message:
        "the file channel does not encrypt yet; remove the encryption properties and encrypt the disk, or stay on Java Flume for this channel",
    });
  }
  return problems;
}
