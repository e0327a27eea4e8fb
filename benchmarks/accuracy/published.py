"""Figures that others have published on the same data, shown beside those measured here.

Each author used a protocol and a number of trials of their own, so these are not rows of the
comparison. Metrics have the names of `benchmarks.accuracy`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    source: str
    protocol: str
    metrics: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "citeulike-t-as-published": (
        Published(
            "Hsieh, Yang, Cui, Lin, Belongie and Estrin, WWW 2017, Table 2",
            "60/20/20 per user, 142,794 pairs",
            ("recall@50", "recall@100"),
            {
                "WRMF": (0.2437, 0.3112),
                "BPR": (0.2489, 0.3296),
                "WARP": (0.1916, 0.2526),
                "CML": (0.2714, 0.3411),
                "VBPR (features)": (0.2807, 0.3437),
                "CDL (features)": (0.3375, 0.4173),
                "CML+F (features)": (0.3312, 0.4255),
            },
        ),
    ),
    "gowalla": (
        Published(
            "Mao et al., SimpleX, CIKM 2021; Mao et al., UltraGCN, CIKM 2021; and what they "
            "compare with",
            "LightGCN's split, all users, 64 dimensions where there are vectors",
            ("recall@20", "ndcg@20"),
            {
                "MF-BPR": (0.1627, 0.1378),
                "LightGCN": (0.1820, 0.1547),
                "EASE": (0.1765, 0.1467),
                "MF-CCL": (0.1837, 0.1493),
                "SimpleX": (0.1872, 0.1557),
                "UltraGCN": (0.1862, 0.1580),
            },
        ),
        Published(
            "the figure of CML in such comparisons",
            "1,000 of the users alone",
            ("recall@20", "ndcg@20"),
            {"CML": (0.1670, 0.1292)},
        ),
    ),
}
