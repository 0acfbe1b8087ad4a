/**
 * Models leave for the engines that people run: ONNX files of Vision Transformers, dense and with experts, and of MCGaze.
 * @module
 */
export { exportOnnx, type OnnxOptions } from "./export.ts";
export { MAX_ONNX_BYTES, type OnnxFile } from "./graph.ts";
