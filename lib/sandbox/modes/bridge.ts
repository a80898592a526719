/** bridge: a namespace of its own, attached to networks. */
export { ownNamespace as bridge } from './mode.js'
