"""SNOMED CT codes of what a network segments, by the name of its label.

Source: the code dictionary of DICOM PS3.16 as in pydicom.sr.codedict.
"""

import re
from dataclasses import dataclass

Code = tuple[str, str]
"""SNOMED CT value and meaning."""

STRUCTURE: Code = ("91723000", "Anatomical Structure")
ABNORMAL: Code = ("49755003", "Morphologically Abnormal Structure")
TISSUE: Code = ("85756007", "Tissue")
SIDES: dict[str, Code] = {"left": ("7771000", "Left"), "right": ("24028007", "Right")}
ORGANS: dict[str, Code] = {
    "liver": ("10200004", "Liver"),
    "spleen": ("78961009", "Spleen"),
    "kidney": ("64033007", "Kidney"),
    "pancreas": ("15776009", "Pancreas"),
    "aorta": ("15825003", "Aorta"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "adrenal gland": ("23451007", "Adrenal gland"),
    "gallbladder": ("28231008", "Gallbladder"),
    "esophagus": ("32849002", "Esophagus"),
    "stomach": ("69695003", "Stomach"),
    "duodenum": ("38848004", "Duodenum"),
    "bladder": ("89837001", "Bladder"),
    "prostate": ("41216001", "Prostate"),
    "uterus": ("35039007", "Uterus"),
    "colon": ("71854001", "Colon"),
    "small intestine": ("30315005", "Small intestine"),
    "lung": ("39607008", "Lung"),
    "heart": ("80891009", "Heart"),
    "brain": ("12738006", "Brain"),
    "hippocampus": ("5366008", "Hippocampus"),
    "spinal cord": ("2748008", "Spinal cord"),
    "trachea": ("44567001", "Trachea"),
    "bone": ("272673000", "Bone"),
}
FINDINGS: dict[str, Code] = {
    "tumor": ("108369006", "Neoplasm"),
    "lesion": ("52988006", "Lesion"),
    "nodule": ("27925004", "Nodule"),
    "edema": ("79654002", "Edema"),
    "necrosis": ("6574001", "Necrosis"),
}
SPELLINGS = {
    "ivc": "inferior vena cava", "postcava": "inferior vena cava", "oesophagus": "esophagus",
    "gall bladder": "gallbladder", "urinary bladder": "bladder", "adrenal": "adrenal gland",
    "tumour": "tumor", "neoplasm": "tumor", "cancer": "tumor", "oedema": "edema",
}  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """What a segment is, in codes."""

    category: Code
    kind: Code
    side: Code | None = None


def meaning_of(label: str) -> Meaning:
    """The codes of a label such as `Left kidney`, `kidney_R` or `liver tumour`; else tissue."""
    words = re.sub(r"[^a-z]+", " ", label.lower()).split()
    side = next((SIDES[full] for full in SIDES if {full, full[0]} & set(words)), None)
    rest = " ".join(word for word in words if word not in {"left", "right", "l", "r"})
    name = SPELLINGS.get(rest, rest)
    if name in ORGANS:
        return Meaning(STRUCTURE, ORGANS[name], side)
    if name.removesuffix("s") in ORGANS:
        return Meaning(STRUCTURE, ORGANS[name.removesuffix("s")], side)
    last = SPELLINGS.get(words[-1], words[-1]) if words else ""
    if last in FINDINGS:
        return Meaning(ABNORMAL, FINDINGS[last], side)
    return Meaning(TISSUE, TISSUE)
