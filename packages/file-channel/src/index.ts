export { createFileChannel, type FileChannel } from "./file-channel.ts";
export { type FileChannelLimits, type FileChannelOptions, fileChannelDefaults } from "./options.ts";
export { createKeyFiles, type KeyFilesOptions } from "./keys/key-files.ts";
export { createJceksKeyProvider, type JceksKeyProviderOptions } from "./keys/jceks-key-provider.ts";
export type { KeyProvider } from "./keys/key-provider.ts";
export { type JavaChannel, type JavaChannelOptions, openJavaChannel } from "./java/java-channel.ts";
export * from "./tools/index.ts";
