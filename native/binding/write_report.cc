#include "binding/write_report.h"

#include "binding/write_nft.h"
#include "binding/write_rtnl.h"

namespace netmode::binding {
namespace {

// `{ dev: bigint, inode: bigint, cookie?: bigint }`
Napi::Object WriteIdentity(Napi::Env env, const netns::Identity &identity) {
  auto object = Napi::Object::New(env);
  object["dev"] = Napi::BigInt::New(env, identity.device);
  object["inode"] = Napi::BigInt::New(env, identity.inode);
  if (identity.cookie) object["cookie"] = Napi::BigInt::New(env, *identity.cookie);
  return object;
}

// Flat, as there may be a thousand: `[version?, text?, version?, …]`
Napi::Array WriteSights(Napi::Env env, const std::vector<state::Sight> &sights) {
  Napi::Array array = Napi::Array::New(env, 2 * sights.size());
  std::uint32_t at = 0;
  for (const state::Sight &sight : sights) {
    if (sight.version) array.Set(at, *sight.version);
    if (sight.text) array.Set(at + 1, *sight.text);
    at += 2;
  }
  return array;
}

// `[{ group, claims: [name, holder, name, …] }, …]`
Napi::Array WriteClaims(Napi::Env env, const std::vector<state::ClaimGroup> &groups) {
  Napi::Array array = Napi::Array::New(env, groups.size());
  std::uint32_t index = 0;
  for (const state::ClaimGroup &group : groups) {
    Napi::Array claims = Napi::Array::New(env, 2 * group.claims.size());
    std::uint32_t at = 0;
    for (const auto &claim : group.claims) {
      claims.Set(at++, claim.name);
      claims.Set(at++, claim.holder);
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("group", group.name);
    object.Set("claims", claims);
    array.Set(index++, object);
  }
  return array;
}

Napi::Array WriteTexts(Napi::Env env, const std::vector<std::string> &texts) {
  Napi::Array array = Napi::Array::New(env, texts.size());
  std::uint32_t at = 0;
  for (const std::string &text : texts) array.Set(at++, text);
  return array;
}

struct OutputWriter {
  Napi::Env env;
  Napi::Value operator()(std::monostate) const { return env.Undefined(); }
  Napi::Value operator()(const std::string &text) const { return Napi::String::New(env, text); }
  Napi::Value operator()(std::uint32_t number) const { return Napi::Number::New(env, number); }
  Napi::Value operator()(const netns::Identity &identity) const { return WriteIdentity(env, identity); }
  Napi::Value operator()(const nft::Listing &listing) const { return WriteNft(env, listing, listing.of_set); }
  Napi::Value operator()(const nft::Rules &rules) const { return WriteNftRules(env, rules); }
  Napi::Value operator()(const std::vector<state::Sight> &sights) const { return WriteSights(env, sights); }
  Napi::Value operator()(const std::vector<state::ClaimGroup> &groups) const { return WriteClaims(env, groups); }
  Napi::Value operator()(const std::vector<std::string> &texts) const { return WriteTexts(env, texts); }
  template <class T>
  Napi::Value operator()(const std::vector<T> &list) const {
    return Write(env, list);
  }
};

Napi::Object WriteTrouble(Napi::Env env, const program::Trouble &trouble) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("step", static_cast<double>(trouble.step));
  object.Set("errno", trouble.error.code);
  object.Set("syscall", trouble.error.syscall);
  if (!trouble.error.detail.empty()) object.Set("detail", trouble.error.detail);
  if (!trouble.error.holder.empty()) object.Set("holder", trouble.error.holder);
  if (trouble.error.offset != 0) object.Set("offset", trouble.error.offset);
  return object;
}

}  // namespace

Napi::Object Write(Napi::Env env, const program::Report &report) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array outputs = Napi::Array::New(env, report.outputs.size());
  for (std::size_t i = 0; i < report.outputs.size(); ++i) {
    if (std::holds_alternative<std::monostate>(report.outputs[i])) continue;
    outputs.Set(static_cast<std::uint32_t>(i), std::visit(OutputWriter{env}, report.outputs[i]));
  }
  object.Set("outputs", outputs);
  if (!report.failure) return object;
  object.Set("failure", WriteTrouble(env, *report.failure));
  Napi::Array undo = Napi::Array::New(env, report.undo.size());
  for (std::size_t i = 0; i < report.undo.size(); ++i) undo.Set(static_cast<std::uint32_t>(i), WriteTrouble(env, report.undo[i]));
  object.Set("undo", undo);
  return object;
}

}  // namespace netmode::binding
