import { parseMinimumSpace } from "./minimum-space.ts";
import type { LogOptions } from "./options.ts";

interface Problem {
  readonly key: string;
  readonly message: string;
}

const provider = "encryption.keyProvider";

/** Problems between the options of a channel over the durable log, for `check` of its definition. */
export function checkLogOptions(options: LogOptions, capacity: number): Problem[] {
  const { transactionCapacity, minimumRequiredSpace } = options;
  const problems: Problem[] = [];
  if (transactionCapacity > capacity) {
    const message = `${transactionCapacity} is over capacity, which is ${capacity}`;
    problems.push({ key: "transactionCapacity", message });
  }
  if (parseMinimumSpace(minimumRequiredSpace) === undefined) {
    const message = `"${minimumRequiredSpace}" is not a number of bytes, nor a percentage from 0% to 99%`;
    problems.push({ key: "minimumRequiredSpace", message });
  }
  return [...problems, ...checkEncryption(options)];
}

/** What an operator should know though nothing is wrong, for `notes` of the definition. */
export function noteLogOptions({ cipherProvider }: LogOptions): Problem[] {
  if (cipherProvider !== "AESCTRNOPADDING") return [];
  const message = "AES-GCM is used instead: it also notices bytes that were changed";
  return [{ key: "encryption.cipherProvider", message }];
}

function checkEncryption(options: LogOptions): Problem[] {
  const { keyProvider, activeKey, cipherProvider, formatVersion } = options;
  if (keyProvider === undefined) {
    return Object.entries({ activeKey, cipherProvider }).flatMap(([name, value]) =>
      value === undefined
        ? []
        : [{ key: `encryption.${name}`, message: `is given without ${provider}` }],
    );
  }
  const problems =
    keyProvider === "JCEKSFILE" ? checkKeyStore(options) : checkKeyFiles(options, activeKey);
  if (activeKey !== undefined && formatVersion === "1") {
    const message = "format 1 has no encryption; remove it, or encryption.activeKey";
    problems.push({ key: "formatVersion", message });
  }
  for (const name of options.keyFiles.keys()) {
    const kind = keyProvider === "JCEKSFILE" ? ".passwordFile" : ".file";
    if (name.endsWith(kind) && name.length > kind.length) continue;
    problems.push({ key: `${provider}.keys.${name}`, message: `is not <name>${kind}` });
  }
  return problems;
}

function checkKeyStore({ keyStoreFile, keyStorePasswordFile, keyNames, activeKey }: LogOptions) {
  const problems: Problem[] = [];
  const needed = { keyStoreFile, keyStorePasswordFile };
  for (const [name, value] of Object.entries(needed)) {
    if (value !== undefined) continue;
    problems.push({ key: `${provider}.${name}`, message: "is required for JCEKSFILE" });
  }
  if (keyNames.length === 0) {
    problems.push({ key: `${provider}.keys`, message: "is required for JCEKSFILE" });
  } else if (activeKey !== undefined && !keyNames.includes(activeKey)) {
    const message = `"${activeKey}" is not among ${provider}.keys (${keyNames.join(" ")})`;
    problems.push({ key: "encryption.activeKey", message });
  }
  return problems;
}

function checkKeyFiles({ keyDir, keyFiles }: LogOptions, activeKey: string | undefined) {
  const problems: Problem[] = [];
  if (keyDir === undefined && keyFiles.size === 0) {
    const message = `is required for KEYFILES, or ${provider}.keys.<name>.file`;
    problems.push({ key: `${provider}.keyDir`, message });
  } else if (
    activeKey !== undefined &&
    keyDir === undefined &&
    !keyFiles.has(`${activeKey}.file`)
  ) {
    const message = `no ${provider}.keys.${activeKey}.file and no ${provider}.keyDir says where "${activeKey}" is`;
    problems.push({ key: "encryption.activeKey", message });
  }
  return problems;
}
