"""tegrastats: real lines of many boards, and whatever else one can put into a line."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.jetson.stats import Core, Memory, Rail, Stats, Temperature, Unit
from edgereid.bench.jetson.tegrastats import MAX_CHARS, parse

DATADOG = "DataDog/datadog-agent, pkg/collector/corechecks/nvidia/jetson/jetson_test.go"
EXPORTER = "lesomnus/tegra-exporter, stats/parse_test.go"


@dataclass(frozen=True)
class Case:
    """A line as somebody's board printed it, and some of what it says."""

    board: str
    source: str
    line: str
    ram: Memory
    cores: int
    off: int
    gpu: Unit | None
    emc: Unit | None
    rails: tuple[Rail, ...]
    absent: tuple[str, ...] = ()


CASES = (
    Case(
        "Nano, L4T 32.2",
        "jetson_prometheus_exporter, tests/test_tegrastats.py",
        "RAM 2015/3964MB (lfb 98x4MB) SWAP 29/1982MB (cached 3MB) CPU [6%@102,5%@102,4%@102,"
        "3%@102] EMC_FREQ 0% GR3D_FREQ 0% PLL@28C CPU@31.5C PMIC@100C GPU@30.5C AO@36C "
        "thermal@31.25C POM_5V_IN 1388/1388 POM_5V_GPU 122/122 POM_5V_CPU 163/163",
        Memory(2015, 3964), 4, 0, Unit("GR3D_FREQ", 0, ()), Unit("EMC_FREQ", 0, ()),
        (Rail("POM_5V_IN", 1388, 1388), Rail("POM_5V_GPU", 122, 122), Rail("POM_5V_CPU", 163, 163)),
        ("PMIC@100C",),
    ),
    Case(
        "Nano as root, JetPack 4.6.1",
        "github.com, TestParseTegraStatsXavierNanoJetPack461",
        "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) CPU "
        "[5%@1224,4%@1224,3%@1224,6%@1224] EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@37C CPU@40C "
        "PMIC@50C GPU@40C AO@45C thermal@40C POM_5V_IN 1750/1628 POM_5V_GPU 0/0 POM_5V_CPU 366/406",
        Memory(1923, 3964), 4, 0, Unit("GR3D_FREQ", 0, (76,)), Unit("EMC_FREQ", 0, (1600,)),
        (Rail("POM_5V_IN", 1750, 1628), Rail("POM_5V_GPU", 0, 0), Rail("POM_5V_CPU", 366, 406)),
        ("PMIC@50C",),
    ),
    Case(
        "TX2, L4T 32.2",
        "https://github.com/FindHao/tx-utils/issues/3",
        "RAM 2020/7852MB (lfb 1164x4MB) CPU [9%@345,21%@345,25%@345,3%@345,1%@345,1%@345] EMC_FREQ "
        "0% GR3D_FREQ 0% PLL@42.5C MCPU@42.5C PMIC@100C Tboard@40C GPU@41C BCPU@42.5C "
        "thermal@41.9C Tdiode@41.25C VDD_SYS_GPU 153/158 VDD_SYS_SOC 536/547 VDD_4V0_WIFI 633/527 "
        "VDD_IN 3140/3208 VDD_SYS_CPU 536/590 VDD_SYS_DDR 557/601",
        Memory(2020, 7852), 6, 0, Unit("GR3D_FREQ", 0, ()), Unit("EMC_FREQ", 0, ()),
        (Rail("VDD_SYS_GPU", 153, 158), Rail("VDD_SYS_SOC", 536, 547),
         Rail("VDD_4V0_WIFI", 633, 527), Rail("VDD_IN", 3140, 3208),
         Rail("VDD_SYS_CPU", 536, 590), Rail("VDD_SYS_DDR", 557, 601)),
        ("PMIC@100C",),
    ),
    Case(
        "TX2 with two cores off",
        DATADOG,
        "RAM 2344/7852MB (lfb 1154x4MB) SWAP 0/3926MB (cached 0MB) CPU [1%@345,off,off,1%@345,"
        "0%@345,2%@345] EMC_FREQ 4%@1600 GR3D_FREQ 0%@624 APE 150 PLL@37.5C MCPU@37.5C PMIC@100C "
        "Tboard@32C GPU@35C BCPU@37.5C thermal@36.5C Tdiode@34.25C VDD_SYS_GPU 152/152 VDD_SYS_SOC "
        "687/687 VDD_4V0_WIFI 0/0 VDD_IN 3056/3056 VDD_SYS_CPU 152/152 VDD_SYS_DDR 883/883",
        Memory(2344, 7852), 6, 2, Unit("GR3D_FREQ", 0, (624,)), Unit("EMC_FREQ", 4, (1600,)),
        (Rail("VDD_SYS_GPU", 152, 152), Rail("VDD_SYS_SOC", 687, 687), Rail("VDD_4V0_WIFI", 0, 0),
         Rail("VDD_IN", 3056, 3056), Rail("VDD_SYS_CPU", 152, 152), Rail("VDD_SYS_DDR", 883, 883)),
        ("PMIC@100C",),
    ),
    Case(
        "TX2, JetPack 4.6",
        "https://github.com/henrygd/beszel/pull/1631",
        "RAM 3276/7859MB (lfb 5x4MB) SWAP 1626/12122MB (cached 181MB) CPU [44%@1421,49%@2031,"
        "67%@2034,17%@1420,25%@1419,8%@1420] EMC_FREQ 1%@1866 GR3D_FREQ 0%@114 APE 150 MTS fg 1% "
        "bg 1% PLL@42.5C MCPU@42.5C PMIC@50C Tboard@38C GPU@39.5C BCPU@42.5C thermal@41.3C "
        "Tdiode@39.25C VDD_SYS_GPU 182/182 VDD_SYS_SOC 730/730 VDD_4V0_WIFI 0/0 VDD_IN 5297/5297 "
        "VDD_SYS_CPU 1917/1917 VDD_SYS_DDR 1241/1241",
        Memory(3276, 7859), 6, 0, Unit("GR3D_FREQ", 0, (114,)), Unit("EMC_FREQ", 1, (1866,)),
        (Rail("VDD_SYS_GPU", 182, 182), Rail("VDD_SYS_SOC", 730, 730), Rail("VDD_4V0_WIFI", 0, 0),
         Rail("VDD_IN", 5297, 5297), Rail("VDD_SYS_CPU", 1917, 1917),
         Rail("VDD_SYS_DDR", 1241, 1241)),
        ("PMIC@50C",),
    ),
    Case(
        "AGX Xavier, JetPack 4.2",
        "https://github.com/martinkersner/gtop/pull/7",
        "RAM 14700/15692MB (lfb 3x2MB) SWAP 898/8192MB (cached 23MB) CPU [0%@1190,0%@1190,0%@1190,"
        "0%@1190,0%@1190,0%@1190,0%@1190,0%@1190] EMC_FREQ 0% GR3D_FREQ 0% AO@30C GPU@30.5C "
        "Tboard@31C Tdiode@32C AUX@30.5C CPU@31.5C thermal@30.8C PMIC@100C GPU 463/463 CPU 618/618 "
        "SOC 2936/2936 CV 0/0 VDDRQ 309/309 SYS5V 3306/3306",
        Memory(14700, 15692), 8, 0, Unit("GR3D_FREQ", 0, ()), Unit("EMC_FREQ", 0, ()),
        (Rail("GPU", 463, 463), Rail("CPU", 618, 618), Rail("SOC", 2936, 2936), Rail("CV", 0, 0),
         Rail("VDDRQ", 309, 309), Rail("SYS5V", 3306, 3306)),
        ("PMIC@100C",),
    ),
    Case(
        "AGX Xavier, JetPack 5, rails in mW",
        "github.com, check_get_tegra_gpu_status_success_case (its RAM field was left out there)",
        "RAM 1/2MB CPU [0%@1190,1%@1190,0%@1190,0%@1189,0%@1190,0%@1191,0%@1190,0%@1190] EMC_FREQ "
        "0%@1331 GR3D_FREQ 0%@114 VIC_FREQ 115 APE 150 AUX@36C CPU@36.5C thermal@35.7C Tboard@37C "
        "AO@35C GPU@35C Tdiode@38.75C PMIC@50C GPU 467mW/467mW CPU 467mW/467mW SOC 1245mW/1245mW "
        "CV 0mW/0mW VDDRQ 311mW/311mW SYS5V 2768mW/2768mW",
        Memory(1, 2), 8, 0, Unit("GR3D_FREQ", 0, (114,)), Unit("EMC_FREQ", 0, (1331,)),
        (Rail("GPU", 467, 467), Rail("CPU", 467, 467), Rail("SOC", 1245, 1245), Rail("CV", 0, 0),
         Rail("VDDRQ", 311, 311), Rail("SYS5V", 2768, 2768)),
        ("PMIC@50C",),
    ),
    Case(
        "Xavier NX",
        DATADOG,
        "RAM 4412/7772MB (lfb 237x4MB) SWAP 139/3886MB (cached 2MB) CPU [9%@1190,6%@1190,6%@1190,"
        "5%@1190,4%@1190,8%@1267] EMC_FREQ 10%@1600 GR3D_FREQ 62%@306 APE 150 MTS fg 0% bg 0% "
        "AO@41.5C GPU@43C PMIC@100C AUX@41.5C CPU@43.5C thermal@42.55C VDD_IN 4067/4067 "
        "VDD_CPU_GPU_CV 738/738 VDD_SOC 1353/1353",
        Memory(4412, 7772), 6, 0, Unit("GR3D_FREQ", 62, (306,)), Unit("EMC_FREQ", 10, (1600,)),
        (Rail("VDD_IN", 4067, 4067), Rail("VDD_CPU_GPU_CV", 738, 738), Rail("VDD_SOC", 1353, 1353)),
        ("PMIC@100C",),
    ),
    Case(
        "AGX Orin, JetPack 5, sensors that are off",
        "github.com, a laboratory's page on its Jetson boards",
        "10-16-2023 10:59:22 RAM 1205/30623MB (lfb 6429x4MB) SWAP 0/15311MB (cached 0MB) CPU "
        "[0%@729,0%@729,1%@729,0%@729,0%@729,0%@730,0%@730,0%@729,0%@729,0%@729,0%@729,0%@729] "
        "EMC_FREQ 0%@204 GR3D_FREQ 0%@114 GR3D2_FREQ 0%@114 NVJPG1 729 VIC_FREQ 729 APE 233 "
        "CV0@-256C CPU@43.5C Tdiode@32.5C SOC2@40.062C SOC0@40.5C CV1@-256C GPU@38.156C "
        "SOC1@39.125C CV2@-256C VDD_GPU_SOC 4788mW/4788mW VDD_CPU_CV 798mW/798mW VIN_SYS_5V0 "
        "3842mW/3842mW NC 0mW/0mW VDDQ_VDD2_1V8AO 707mW/707mW NC 0mW/0mW",
        Memory(1205, 30623), 12, 0, Unit("GR3D_FREQ", 0, (114,)), Unit("EMC_FREQ", 0, (204,)),
        (Rail("VDD_GPU_SOC", 4788, 4788), Rail("VDD_CPU_CV", 798, 798),
         Rail("VIN_SYS_5V0", 3842, 3842), Rail("VDDQ_VDD2_1V8AO", 707, 707)),
        ("CV0@-256C", "CV1@-256C", "CV2@-256C", "NC", "NC"),
    ),
    Case(
        "AGX Orin, four cores off, a rail below zero",
        "github.com, a plotting script of 2024",
        "03-17-2024 18:54:10 RAM 10239/62841MB (lfb 442x4MB) SWAP 1/31421MB (cached 0MB) CPU "
        "[0%@1728,0%@1728,0%@1728,0%@1728,0%@1420,0%@1420,0%@1420,0%@1420,off,off,off,off] "
        "GR3D_FREQ 0% cpu@37.5C tboard@27C soc2@34.562C tdiode@27.5C soc0@34.531C tj@37.5C "
        "soc1@33.656C VDD_GPU_SOC 1592mW/1592mW VDD_CPU_CV -398mW/-398mW VIN_SYS_5V0 2624mW/2624mW "
        "VDDQ_VDD2_1V8AO 403mW/403mW",
        Memory(10239, 62841), 12, 4, Unit("GR3D_FREQ", 0, ()), None,
        (Rail("VDD_GPU_SOC", 1592, 1592), Rail("VDD_CPU_CV", -398, -398),
         Rail("VIN_SYS_5V0", 2624, 2624), Rail("VDDQ_VDD2_1V8AO", 403, 403)),
    ),
    Case(
        "Orin NX, JetPack 5",
        DATADOG,
        "RAM 6334/15388MB (lfb 1770x4MB) SWAP 491/7694MB (cached 0MB) CPU [6%@729,9%@729,5%@729,"
        "16%@729,off,off,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 0%@611 VIC_FREQ 729 APE 174 "
        "CV0@45.812C CPU@47.937C SOC2@46.093C SOC0@46.968C CV1@46.406C GPU@45.875C tj@48.875C "
        "SOC1@48.875C CV2@45.75C VDD_IN 5299mW/5299mW VDD_CPU_GPU_CV 773mW/773mW VDD_SOC "
        "1424mW/1424mW",
        Memory(6334, 15388), 8, 4, Unit("GR3D_FREQ", 0, (611,)), Unit("EMC_FREQ", 0, (2133,)),
        (Rail("VDD_IN", 5299, 5299), Rail("VDD_CPU_GPU_CV", 773, 773), Rail("VDD_SOC", 1424, 1424)),
    ),
    Case(
        "AGX Orin, JetPack 6, runs of spaces",
        DATADOG,
        "RAM 29114/30697MB (lfb 3x4MB)    SWAP 4915/15348MB (cached 1MB) CPU [3%@729,4%@729,0%@729,"
        "1%@729,0%@2201,100%@2201,1%@2201,0%@2201,100%@2201,0%@2201,0%@2201,0%@2201] EMC_FREQ "
        "1%@2133 GR3D_FREQ 0%@[305,305] NVENC      off  NVDEC    off NVJPG off NVJPG1    off       "
        "  VIC        off          OFA           off          NVDLA0    off       NVDLA1     off   "
        "       PVA0_FREQ off         APE           174        cpu@53.062C soc2@48.25C "
        "soc0@48.843C  gpu@47.812C tj@53.062C soc1@48.968C    VDD_GPU_SOC 3205mW/3205mW VDD_CPU_CV "
        "4405mW/4405mW VIN_SYS_5V0 4767mW/4767mW",
        Memory(29114, 30697), 12, 0, Unit("GR3D_FREQ", 0, (305, 305)), Unit("EMC_FREQ", 1, (2133,)),
        (Rail("VDD_GPU_SOC", 3205, 3205), Rail("VDD_CPU_CV", 4405, 4405),
         Rail("VIN_SYS_5V0", 4767, 4767)),
        ("NVENC", "NVDEC", "NVJPG", "NVJPG1", "VIC", "OFA", "NVDLA0", "NVDLA1", "PVA0_FREQ"),
    ),
    Case(
        "AGX Orin, L4T 36.4.4 (JetPack 6.2.1)",
        EXPORTER,
        "05-09-2026 18:42:06 RAM 18207/62841MB (lfb 466x4MB) SWAP 86/31420MB (cached 0MB) CPU "
        "[14%@2188,5%@2112,8%@2035,14%@2201,46%@1267,47%@1267,2%@1267,10%@1267,4%@1036,5%@1036,"
        "6%@1036,10%@1036] EMC_FREQ 3%@2133 GR3D_FREQ 0%@[0,0] NVENC 79%@166 NVDEC off NVJPG off "
        "NVJPG1 off VIC 36%@115 OFA off NVDLA0 off NVDLA1 off PVA0_FREQ off APE 174 cpu@52.562C "
        "soc2@48.437C soc0@49.093C tj@52.562C soc1@49.656C VDD_GPU_SOC 2412mW/2412mW VDD_CPU_CV "
        "1607mW/1607mW VIN_SYS_5V0 4707mW/4707mW",
        Memory(18207, 62841), 12, 0, Unit("GR3D_FREQ", 0, (0, 0)), Unit("EMC_FREQ", 3, (2133,)),
        (Rail("VDD_GPU_SOC", 2412, 2412), Rail("VDD_CPU_CV", 1607, 1607),
         Rail("VIN_SYS_5V0", 4707, 4707)),
        ("NVDEC", "NVJPG", "NVJPG1", "OFA", "NVDLA0", "NVDLA1", "PVA0_FREQ"),
    ),
    Case(
        "Orin NX as root, JetPack 6",
        "https://github.com/rbonghi/jetson_stats/issues/624",
        "05-15-2025 18:30:28 RAM 6982/7620MB (lfb 5x1MB) SWAP 2640/16384MB (cached 202MB) CPU "
        "[97%@1984,95%@1984,95%@1984,91%@1984,88%@1984,93%@247] EMC_FREQ 18%@3199 GR3D_FREQ "
        "84%@[713] NVENC 1%@115 NVDEC 40%@115 NVJPG off NVJPG1 off VIC 31%@115 OFA off NVDLA0 off "
        "PVA0_FREQ off APE 174 cv0@63.031C cpu@65.562C soc2@64.156C soc0@63.031C cv1@62.937C "
        "gpu@63.5C tj@65.562C soc1@64.718C cv2@60.875C VDD_IN 17946mW/15710mW VDD_CPU_GPU_CV "
        "8896mW/7585mW VDD_SOC 3923mW/3515mW",
        Memory(6982, 7620), 6, 0, Unit("GR3D_FREQ", 84, (713,)), Unit("EMC_FREQ", 18, (3199,)),
        (Rail("VDD_IN", 17946, 15710), Rail("VDD_CPU_GPU_CV", 8896, 7585),
         Rail("VDD_SOC", 3923, 3515)),
        ("NVJPG", "NVJPG1", "OFA", "NVDLA0", "PVA0_FREQ"),
    ),
    Case(
        "Orin Nano, JetPack 6",
        "henrygd/beszel, the tests of its agent",
        "06-18-2025 11:25:24 RAM 3452/7620MB (lfb 25x4MB) SWAP 1518/16384MB (cached 174MB) CPU "
        "[1%@1420,2%@1420,0%@1420,2%@1420,2%@729,1%@729] GR3D_FREQ 0% cpu@50.031C soc2@49.031C "
        "soc0@50C gpu@49.031C tj@50.25C soc1@50.25C VDD_IN 4824mW/4824mW VDD_CPU_GPU_CV "
        "518mW/518mW VDD_SOC 1475mW/1475mW",
        Memory(3452, 7620), 6, 0, Unit("GR3D_FREQ", 0, ()), None,
        (Rail("VDD_IN", 4824, 4824), Rail("VDD_CPU_GPU_CV", 518, 518), Rail("VDD_SOC", 1475, 1475)),
    ),
    Case(
        "AGX Thor, L4T 38.4 (JetPack 7.1)",
        EXPORTER,
        "05-17-2026 10:00:33 RAM 4280/125773MB (lfb 29x4MB) SWAP 0/2048MB (cached 0MB) CPU [0%@972,"
        "0%@972,0%@972,0%@972,1%@972,0%@972,1%@972,0%@972,0%@2601,17%@2601,1%@972,9%@972,0%@972,"
        "1%@972] EMC_FREQ 0%@665 GR3D_FREQ @[0,0,0] NVENC0_FREQ @0 NVENC1_FREQ @0 NVDEC0_FREQ @0 "
        "NVDEC1_FREQ @0 NVJPG0_FREQ @0 VIC off OFA_FREQ @0 PVA0_FREQ off APE 300 cpu@35.25C "
        "tj@36.031C soc012@36.062C soc345@34.5C VDD_GPU 0mW/0mW VDD_CPU_SOC_MSS 4923mW/4544mW "
        "VIN_SYS_5V0 4327mW/4227mW",
        Memory(4280, 125773), 14, 0, Unit("GR3D_FREQ", None, (0, 0, 0)),
        Unit("EMC_FREQ", 0, (665,)),
        (Rail("VDD_GPU", 0, 0), Rail("VDD_CPU_SOC_MSS", 4923, 4544),
         Rail("VIN_SYS_5V0", 4327, 4227)),
        ("VIC", "PVA0_FREQ"),
    ),
    Case(
        "AGX Thor, L4T 39.2 (JetPack 7.2), the second line of a run",
        EXPORTER,
        "07-23-2026 15:29:27 RAM 9091/125811MB (lfb 19x4MB) SWAP 0/2048MB (cached 0MB) CPU [40%@972"
        ",16%@972,18%@972,20%@972,13%@972,11%@972,15%@972,19%@972,10%@972,15%@972,28%@972,11%@972,"
        "11%@972,15%@972] EMC_FREQ 7%@3200 GR3D_FREQ @[314,314,314] NVENC0_FREQ @1556 NVENC1_FREQ "
        "@1556 NVDEC0_FREQ @1556 NVDEC1_FREQ @1556 NVJPG0_FREQ @1556 VIC 59%@423 OFA_FREQ @1556 "
        "PVA0_FREQ off APE 300 cpu@34.312C/34.843C tj@35.906C/35.906C soc012@34.093C/34.437C "
        "gpu@35.906C/35.906C soc345@34.437C/34.437C VDD_GPU 4925mW/4925mW/4925mW VDD_CPU_SOC_MSS "
        "7953mW/8332mW/8710mW VIN_SYS_5V0 6667mW/6717mW/6767mW",
        Memory(9091, 125811), 14, 0, Unit("GR3D_FREQ", None, (314, 314, 314)),
        Unit("EMC_FREQ", 7, (3200,)),
        (Rail("VDD_GPU", 4925, 4925, 4925), Rail("VDD_CPU_SOC_MSS", 7953, 8332, 8710),
         Rail("VIN_SYS_5V0", 6667, 6717, 6767)),
        ("PVA0_FREQ",),
    ),
    Case(
        "AGX Thor as a user, JetPack 7.2",
        "https://github.com/wendylabsinc/WendyOS/pull/1316",
        "07-02-2026 13:45:44 RAM 36529/125749MB (lfb 12x4MB) SWAP 11/4096MB (cached 9MB) CPU "
        "[2%@972,1%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,"
        "0%@972,2%@972] cpu@60.406C tj@63.281C soc012@58.468C gpu@62.906C soc345@63.281C VDD_GPU "
        "37528mW/37528mW/37528mW VDD_CPU_SOC_MSS 18961mW/18961mW/18961mW VIN_SYS_5V0 "
        "18331mW/18331mW/18331mW VIN 87426mW/43713mW/87426mW",
        Memory(36529, 125749), 14, 0, None, None,
        (Rail("VDD_GPU", 37528, 37528, 37528), Rail("VDD_CPU_SOC_MSS", 18961, 18961, 18961),
         Rail("VIN_SYS_5V0", 18331, 18331, 18331), Rail("VIN", 87426, 43713, 87426)),
    ),
    Case(
        "a GPU with load and clocks, units that are at rest",
        "https://github.com/rbonghi/jetson_stats/pull/894 and a test of public code (L4T 39)",
        "08-08-2026 21:00:39 RAM 8353/125749MB (lfb 31x4MB) CPU [90%@2601,75%@2601,off,7%@2601] "
        "EMC_FREQ @4266 GR3D_FREQ 87%@[1574,1574,1574] NVENC0_FREQ @1691 VIC off "
        "cpu@58.25C/61.75C VIN 124486mW/36487mW/124486mW",
        Memory(8353, 125749), 4, 1, Unit("GR3D_FREQ", 87, (1574, 1574, 1574)),
        Unit("EMC_FREQ", None, (4266,)), (Rail("VIN", 124486, 36487, 124486),), ("VIC",),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.board)
def test_a_real_line_is_understood_to_its_last_word(case: Case) -> None:
    found = parse(case.line)
    assert found.unread == ()
    assert found.ram == case.ram
    assert len(found.cores) == case.cores
    assert sum(core == Core(None, None) for core in found.cores) == case.off
    assert (found.gpu, found.emc) == (case.gpu, case.emc)
    assert found.rails == case.rails
    assert found.absent == case.absent


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.board)
def test_cores_and_temperatures_agree_with_a_naive_search(case: Case) -> None:
    found = parse(case.line)
    (cores,) = re.findall(r"CPU \[(.*?)\]", case.line)
    shown = ["off" if c.load is None else f"{c.load}%@{c.mhz}" for c in found.cores]
    assert shown == cores.split(",")
    naive = {k: float(v) for k, v in re.findall(r"(\w+)@(-?[\d.]+)C", case.line)}
    hidden = {k: v for k, v in naive.items() if v == -256 or k == "PMIC"}
    assert {t.name: t.now for t in found.temperatures} == {
        k: v for k, v in naive.items() if k not in hidden
    }


def test_second_and_third_numbers_are_mean_and_peak_since_the_start() -> None:
    """Two consecutive lines of a Thor: 8710 then 7953 give the mean 8331.5 and the peak 8710."""
    first = parse("VDD_CPU_SOC_MSS 8710mW/8710mW/8710mW cpu@34.843C/34.843C")
    second = parse("VDD_CPU_SOC_MSS 7953mW/8332mW/8710mW cpu@34.312C/34.843C")
    (a,), (b,) = first.rails, second.rails
    assert b.mean == round((a.now + b.now) / 2)
    assert b.peak == max(a.now, b.now)
    assert second.temperatures == (Temperature("cpu", 34.312, 34.843),)


@pytest.mark.parametrize(
    "words",
    [
        "GR3D_FREQ 101%@300", "EMC_FREQ 120%", "CPU [3%@729,200%@729]", "CPU [3%@729,5%@1",
        "CPU [1%@5,x]", "CPU [1%@5]@7", "RAM 9/8MB", "RAM 9/18GB", "RAM 3200/7620", "SWAP 5/4MB",
        "VDD_IN 4000mW/41", "VDD_IN 4.0W/4.1W", "VDD_IN 4000", "POM_5V_IN x/y", "gpu@400C",
        "gpu@-100C", "gpu@NaNC", "gpu@45.5", "gpu@45.5F", "GR3D_FREQ N/A", "GR3D_FREQ 12",
        "GR3D_FREQ @[300,off]", "GR3D_FREQ %@300", "MTS fg 101% bg 0%", "FOO 12", "FOO 12/13",
        "EMC_FREQ 5000000000%", "ape 150", "VDD_IN 4000mW/4100", "VDD_IN 1/2/3/4",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_unread_and_no_number(words: str) -> None:
    found = parse(f"SWAP 1/2MB {words} tj@40C" if "SWAP" not in words else f"{words} tj@40C")
    assert " ".join(found.unread) == words
    assert found.temperatures == (Temperature("tj", 40.0),)
    assert (found.ram, found.cores, found.units, found.rails) == (None, (), (), ())


def test_a_second_value_of_the_same_field_is_unread() -> None:
    found = parse("VDD_IN 1mW/1mW VDD_IN 2mW/2mW tj@1C tj@2C RAM 1/2MB RAM 2/2MB")
    assert found.rails == (Rail("VDD_IN", 1, 1),)
    assert found.ram == Memory(1, 2)
    assert found.unread == ("VDD_IN", "2mW/2mW", "tj@2C", "RAM", "2/2MB")


def test_a_common_clock_of_all_cores_is_every_cores() -> None:
    assert parse("CPU [0%,5%,off]@2601").cores == (Core(0, 2601), Core(5, 2601), Core(None, None))


def test_an_endless_line_is_unread_as_a_whole() -> None:
    found = parse("VDD_IN 1mW/1mW " * MAX_CHARS)
    assert found == Stats(unread=found.unread)
    assert len(found.unread) == 1


# --- fuzz ---------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Z][A-Z0-9_]{2,11}", fullmatch=True)
counts = st.integers(0, 10**6)
loads = st.integers(0, 100)


def rendered(data: st.DataObject) -> tuple[str, Stats]:
    """A line of any release, and what it says: the writer knows nothing of the reader."""
    words, said = [], {}
    if data.draw(st.booleans()):
        said["time"] = "01-02-2026 03:04:05"
        words.append(str(said["time"]))
    total = data.draw(counts)
    used = data.draw(st.integers(0, total))
    words.append(f"RAM {used}/{total}MB" + data.draw(st.sampled_from(["", " (lfb 3x4MB)"])))
    cores = data.draw(st.lists(st.none() | st.tuples(loads, counts), min_size=1, max_size=14))
    words.append(f"CPU [{','.join('off' if c is None else f'{c[0]}%@{c[1]}' for c in cores)}]")
    gpu = data.draw(st.none() | loads)
    clocks = data.draw(st.lists(counts, min_size=gpu is None, max_size=3))
    many = f"@[{','.join(map(str, clocks))}]" if clocks else ""
    words.append(f"GR3D_FREQ {'' if gpu is None else f'{gpu}%'}{many}")
    heat = data.draw(st.dictionaries(names, st.integers(-40_000, 120_000), max_size=4))
    heat.pop("PMIC", None)
    words += [f"{k}@{v / 1000:g}C" for k, v in heat.items()]
    unit = data.draw(st.sampled_from(["", "mW"]))
    power = {
        f"VDD_{k}": v
        for k, v in data.draw(
            st.dictionaries(
                names, st.lists(counts, min_size=1 + (unit == ""), max_size=3), max_size=4
            )
        ).items()
    }
    words += [f"{k} {'/'.join(f'{n}{unit}' for n in v)}" for k, v in power.items()]
    return " ".join(words), Stats(
        time=said.get("time"),
        ram=Memory(used, total),
        cores=tuple(Core(None, None) if c is None else Core(*c) for c in cores),
        units=(Unit("GR3D_FREQ", gpu, tuple(clocks)),),
        temperatures=tuple(Temperature(k, float(f"{v / 1000:g}")) for k, v in heat.items()),
        rails=tuple(Rail(k, *v) for k, v in power.items()),
    )


@given(st.data())
def test_what_a_line_says_is_read_back(data: st.DataObject) -> None:
    line, said = rendered(data)
    assert parse(line) == said


@given(st.data(), st.lists(st.from_regex(r"[a-z?!]{1,6}", fullmatch=True), max_size=4))
def test_strange_words_between_fields_are_listed_and_change_nothing(
    data: st.DataObject, strange: list[str]
) -> None:
    line, said = rendered(data)
    found = parse(" ".join([*strange[:2], line, *strange[2:]]))
    assert found.unread == tuple(strange)
    assert {f.name: getattr(found, f.name) for f in fields(Stats) if f.name != "unread"} == {
        f.name: getattr(said, f.name) for f in fields(Stats) if f.name != "unread"
    }


pieces = st.sampled_from(
    [*"0123456789%@[],/() ", "mW", "MB", "kB", "C", "off", "CPU ", "RAM ", "SWAP ", "VDD_IN ",
     "GR3D_FREQ ", "EMC_FREQ ", "tj@", "-", ".", "\n", "\u2003", "\u0663", "\0", "NC "]
)  # fmt: skip


def numbers_of(found: Stats) -> list[str]:
    """Every number that is presented, as it must stand in the line."""
    memory = [m for m in (found.ram, found.swap, found.iram) if m is not None]
    every = [n for m in memory for n in (m.used, m.total)]
    every += [n for c in found.cores for n in (c.load, c.mhz) if n is not None]
    every += [n for u in found.units for n in (u.load, *u.mhz) if n is not None]
    every += [n for r in found.rails for n in (r.now, r.mean, r.peak) if n is not None]
    heat = [t for x in found.temperatures for t in (x.now, x.peak) if t is not None]
    return [str(abs(n)) for n in every] + [f"{abs(t):.0f}" for t in heat if t == int(t)]


@given(st.lists(pieces, max_size=40).map("".join) | st.text(max_size=80))
def test_no_text_is_too_strange_and_no_number_is_made_up(text: str) -> None:
    found = parse(text)
    digits = {str(int(n)) for n in re.findall(r"[0-9]+", text)}
    assert set(numbers_of(found)) <= digits
    for unit in found.units:
        assert unit.load is None or 0 <= unit.load <= 100
    spoken = sum(len(w) for w in text.split())
    assert sum(map(len, found.unread)) <= spoken
    if not any(c.isdigit() or c == "N" or c == "o" for c in text):
        assert sum(map(len, found.unread)) == spoken


@given(st.sampled_from(CASES), st.data())
def test_a_damaged_line_keeps_its_undamaged_rails(case: Case, data: st.DataObject) -> None:
    """One character of one word is replaced: every rail whose words are whole stays as it was, and
    a rail is never reported under the name of another one."""
    words = case.line.split(" ")
    at = data.draw(st.integers(0, len(words) - 1))
    word = words[at]
    if not word:
        return
    spot = data.draw(st.integers(0, len(word) - 1))
    words[at] = word[:spot] + data.draw(st.sampled_from("#?;=")) + word[spot + 1 :]
    found = {r.name: r for r in parse(" ".join(words)).rails}
    for rail in case.rails:
        untouched = rail.name not in (word, words[at - 1] if at else "")
        if untouched:
            assert found[rail.name] == rail
    assert set(found.values()) <= set(case.rails)
