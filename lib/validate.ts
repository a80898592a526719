/** The one door to everything that checks what a caller gives. */
export { portRefs, publishInputs } from './sandbox/port-grammar.js'
export * from './validate/call-options.js'
export * from './validate/guards.js'
export * from './validate/network-options.js'
export * from './validate/sandbox-options.js'
