/** Types of npm:wgsl-preprocessor, which ships none. */
export declare function wgsl(strings: TemplateStringsArray, ...values: unknown[]): string;
