// The calls of a worker (wire.proto), by the names under which gRPC knows them.
#ifndef BATON_PROTO_METHODS_H_
#define BATON_PROTO_METHODS_H_

namespace baton {

inline constexpr char kHelloMethod[] = "/baton.wire.Worker/Hello";
inline constexpr char kConfigureMethod[] = "/baton.wire.Worker/Configure";
inline constexpr char kStatsMethod[] = "/baton.wire.Worker/Stats";
inline constexpr char kChainMethod[] = "/baton.wire.Edges/Chain";
inline constexpr char kResultsMethod[] = "/baton.wire.Edges/Results";
inline constexpr char kHeadMethod[] = "/baton.wire.Edges/Head";

}  // namespace baton

#endif  // BATON_PROTO_METHODS_H_
