/**
 * Files of weights and checkpoints (safetensors, PyTorch's) <-> named arrays. Everything here also runs in a browser; what needs a file system
 * (atomic writes, lazy reads from disk) is in `io/files.ts`.
 * @module
 */
export { blobSource, type Bytes, type ByteSource, bytesSource } from "./byte_source.ts";
export {
  cacheStore,
  type Download,
  type DownloadOptions,
  type DownloadStore,
  downloadWeights,
} from "./download.ts";
export * from "./named_array.ts";
export * from "./convert.ts";
export type { JsonObject, JsonValue } from "./json.ts";
export type { RngState } from "../engine/random/host_rng.ts";
export {
  MAX_HEADER_BYTES,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  type TensorEntry,
} from "./safetensors_header.ts";
export * from "./safetensors.ts";
export * from "./safetensors_write.ts";
export { type TorchEntry, type TorchOptions, TorchReader } from "./torch/reader.ts";
export type { Dropped } from "./torch/state_dict.ts";
export { TORCH_NAMES } from "./torch/dtypes.ts";
export {
  openWeights,
  type OpenWeightsOptions,
  type WeightsEntry,
  type WeightsReader,
  weightsSource,
} from "./weights.ts";
export * from "./checkpoint.ts";
