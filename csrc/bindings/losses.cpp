#include "losses.h"

#include <cmath>
#include <stdexcept>

#include "../core/losses/registry.h"

namespace cml {
namespace {

template <class... Pairwise, class... Shared>
std::vector<std::pair<std::string, bool>> describe(LossList<Pairwise...>, LossList<Shared...>) {
    return {{Pairwise::kName, false}..., {Shared::kName, true}...};
}

}  // namespace

const std::vector<std::pair<std::string, bool>>& losses() {
    static const auto all = describe(PairwiseLosses{}, SharedNegativeLosses{});
    return all;
}

Loss loss_named(const std::string& name) {
    std::string names;  // "'a', 'b' or 'c'"
    for (size_t i = 0; i < losses().size(); ++i) {
        if (losses()[i].first == name) return static_cast<Loss>(i);
        names += i == 0 ? "" : i + 1 < losses().size() ? ", " : " or ";
        names += "'" + losses()[i].first + "'";
    }
    throw std::invalid_argument("loss must be " + names + ", got '" + name + "'");
}

bool is_bfloat16(const std::string& precision) {
    if (precision == "float32" || precision == "bfloat16") return precision == "bfloat16";
    throw std::invalid_argument("precision must be 'float32' or 'bfloat16', got '" + precision +
                                "'");
}

const std::vector<std::string>& loss_parameters() {
#define CML_KEYWORD(name) #name,
    static const std::vector<std::string> keywords = {CML_LOSS_PARAMETERS(CML_KEYWORD)};
#undef CML_KEYWORD
    return keywords;
}

FixedPoint fixed_point(int64_t batch_size, float largest_gradient) {
    const int bits = summand_bits(batch_size);
    int exponent = 0;  // of the smallest power of two that is larger than the largest gradient
    std::frexp(largest_gradient, &exponent);
    return {std::ldexp(1.0f, bits - exponent), std::ldexp(1.0f, exponent - bits),
            std::ldexp(1.0f, exponent)};
}

std::vector<float> rank_weights(int64_t n_items, int64_t n_negatives) {
    if (n_negatives < 1) throw std::invalid_argument("n_negatives must be at least 1");
    std::vector<float> weights;
    for (int64_t impostors = 0; impostors <= n_negatives; ++impostors) {
        const int64_t rank = n_items * impostors / n_negatives;
        weights.push_back(static_cast<float>(std::log(static_cast<double>(rank + 1))));
    }
    return weights;
}

}  // namespace cml
