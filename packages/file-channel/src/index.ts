export { createFileChannel, type FileChannel } from "./file-channel.ts";
export { type FileChannelOptions, fileChannelDefaults } from "./options.ts";
export type { KeyProvider } from "./keys/key-provider.ts";
