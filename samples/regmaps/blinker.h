/* The registers of samples/cards/blinker.py. */
#define LAMP_ID           0x00
#define LAMP_PERIOD       0x04
#define LAMP_COUNT        0x08
#define LAMP_COUNT_LIT    BIT(0)
#define LAMP_COUNT_TURNS  GENMASK(31, 1)
