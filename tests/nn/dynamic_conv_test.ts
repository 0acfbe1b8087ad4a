import { ShapeError } from "../../engine/mod.ts";
import { layerNormReference } from "../../kernels/layer_norm.ts";
import { DynamicConv } from "../../nn/dynamic_conv.ts";
import { checkGradients } from "../gradcheck.ts";
import { assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

test("DynamicConv names and shapes its parameters as mmdet does", () => {
  const layer = new DynamicConv({ inChannels: 8, featChannels: 4, outChannels: 6, positions: 9 });
  const shapes = layer.namedParameters().map(([name, { shape }]) => `${name} [${shape}]`);
  assertEquals(shapes, [
    "dynamic_layer.weight [56,8]",
    "dynamic_layer.bias [56]",
    "norm_in.weight [4]",
    "norm_in.bias [4]",
    "norm_out.weight [6]",
    "norm_out.bias [6]",
    "fc_layer.weight [6,54]",
    "fc_layer.bias [6]",
    "fc_norm.weight [6]",
    "fc_norm.bias [6]",
  ]);
});

for (
  const [n, inChannels, featChannels, outChannels, positions] of [[1, 1, 2, 2, 1], [3, 5, 3, 4, 4]]
) {
  gpuTest(`DynamicConv of ${n} boxes equals plain loops, both ways`, async (device) => {
    const layer = new DynamicConv({ inChannels, featChannels, outChannels, positions });
    await layer.to(device);
    const values = new Map<string, ArrayLike<number>>();
    for (const [name, parameter] of layer.namedParameters()) {
      values.set(name, Float64Array.from(await parameter.data()));
    }
    const dense = (x: ArrayLike<number>, rows: number, name: string) => {
      const weight = values.get(`${name}.weight`)!, bias = values.get(`${name}.bias`)!;
      const k = weight.length / bias.length;
      return Float64Array.from({ length: rows * bias.length }, (_, at) => {
        const i = Math.floor(at / bias.length), j = at % bias.length;
        let sum = bias[j];
        for (let l = 0; l < k; l++) sum += x[i * k + l] * weight[j * k + l];
        return sum;
      });
    };
    const normRelu = (x: Float64Array, name: string) => {
      const weight = values.get(`${name}.weight`)!, bias = values.get(`${name}.bias`)!;
      const shape = { rows: x.length / bias.length, n: bias.length, eps: 1e-5 };
      return layerNormReference(shape, x, weight, bias).y.map((v) => Math.max(v, 0));
    };
    const filtered = (
      x: Float64Array,
      from: number,
      to: number,
      filters: Float64Array,
      first: number,
    ) =>
      Float64Array.from({ length: n * positions * to }, (_, at) => {
        const row = Math.floor(at / to), box = Math.floor(row / positions);
        const size = filters.length / n;
        let sum = 0;
        for (let l = 0; l < from; l++) {
          sum += x[row * from + l] * filters[box * size + first + l * to + at % to];
        }
        return sum;
      });
    await checkGradients({
      device,
      inputs: {
        queries: { shape: [n, inChannels] },
        boxes: { shape: [n, positions, inChannels] },
      },
      op: ({ queries, boxes }) => layer.forward(queries, boxes),
      reference: ({ queries, boxes }) => {
        const filters = dense(queries, n, "dynamic_layer");
        const hidden = normRelu(filtered(boxes, inChannels, featChannels, filters, 0), "norm_in");
        const first = inChannels * featChannels;
        const out = filtered(hidden, featChannels, outChannels, filters, first);
        return normRelu(dense(normRelu(out, "norm_out"), n, "fc_layer"), "fc_norm");
      },
      step: 1e-5, // next to the kinks of ReLU
      atol: 1e-4, // three norms in turn, of few values each, magnify rounding
    });
    layer.dispose();
  });
}

gpuTest("DynamicConv refuses boxes of other queries", async (device) => {
  const layer = new DynamicConv({ inChannels: 4, featChannels: 2, positions: 9 });
  await layer.to(device);
  const at = (...shape: number[]) => device.zeros(shape);
  assertThrows(() => layer.forward(at(3, 4), at(2, 9, 4)), ShapeError, "needs [3, 9, 4]");
  assertThrows(() => layer.forward(at(3, 5), at(3, 9, 4)), ShapeError, "DynamicConv: queries");
  layer.dispose();
});
