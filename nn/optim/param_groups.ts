/**
 * Parameter groups from rules: which parameters learn at which rate and with which weight decay.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";
import type { Parameter } from "../parameter.ts";
import type { NamedParameters, ParameterGroup } from "./optimizer.ts";

/** Settings of one parameter, such as those of a layer-wise decay. */
export interface NamedSettings {
  /** The parameter's name. */
  readonly name: string;
  /** Factor on the optimiser's rate; default 1. */
  readonly lrScale?: number;
  /** Weight decay where it differs from the optimiser's. */
  readonly weightDecay?: number;
}

/**
 * One group a parameter, with the settings of its name.
 * @example
 * ```ts ignore
 * const settings = layerDecay(model.namedParameters(), depth, options);
 * const optimizer = new AdamW(parameterGroups(model.namedParameters(), settings), { lr: 4e-3 });
 * ```
 * @throws {ShapeError} when a parameter has no settings or settings have no parameter: a rule that silently matches
 *   nothing is the usual way a fine-tuning goes wrong
 */
export function parameterGroups(
  params: NamedParameters,
  settings: Iterable<NamedSettings>,
): ParameterGroup[] {
  const byName = new Map(Array.from(settings, (s) => [s.name, s]));
  const groups = Array.from(params, ([name, parameter]): ParameterGroup => {
    const found = byName.get(name);
    if (found === undefined) throw new ShapeError(`parameterGroups(): no settings for "${name}"`);
    byName.delete(name);
    const { lrScale, weightDecay } = found;
    return { params: [[name, parameter]], lrScale, weightDecay };
  });
  for (const name of byName.keys()) {
    throw new ShapeError(`parameterGroups(): settings for "${name}", which is no parameter`);
  }
  return groups;
}

/**
 * Two groups: weights, which decay as the optimiser says, and all that should not: parameters with fewer than two
 * dimensions (biases, norms, temperatures), as timm does.
 * @param keep true for further parameters that must not decay, such as position embeddings
 */
export function withoutDecay(
  params: NamedParameters,
  keep: (name: string, parameter: Parameter) => boolean = () => false,
): ParameterGroup[] {
  const decayed: [string, Parameter][] = [], kept: [string, Parameter][] = [];
  for (const [name, parameter] of params) {
    (parameter.rank < 2 || keep(name, parameter) ? kept : decayed).push([name, parameter]);
  }
  return [{ params: decayed }, { params: kept, weightDecay: 0 }];
}
