/* SPDX-License-Identifier: MIT */
/*
 * The screen: 80x25 VGA text cells, or a 32-bit framebuffer with an 8x16 PC
 * font. Never scrolls, since reading video memory back is slow: from the bottom
 * it continues at the top, with a blank line ahead of the newest. Writing may be
 * slow, too: only the used part of a line is cleared.
 */
#include "smp/lib.h"
#include "smp/smp.h"

#define FONT_WIDTH 8u
#define FONT_HEIGHT 16u
#define GLYPHS 128u
#define ROWS_MAX 256u
#define INK 0x00c8e6c9u
#define VGA_ATTRIBUTE 0x0700u

extern const uint8_t font_ascii[GLYPHS][FONT_HEIGHT]; /* GRUB's own, the highest bit is leftmost */

static const struct boot_info *info;
static unsigned columns, rows, column, row;
static uint16_t used[ROWS_MAX]; /* columns of each row */

static void draw(unsigned x, unsigned y, char c)
{
	if (info->screen == BOOT_SCREEN_VGA_TEXT) {
		((uint16_t *)info->fb_phys)[y * columns + x] = (uint16_t)(VGA_ATTRIBUTE | (uint8_t)c);
		return;
	}
	const uint8_t *glyph = font_ascii[(uint8_t)c % GLYPHS];
	for (unsigned line = 0; line < FONT_HEIGHT; line++) {
		uint32_t *pixel = (uint32_t *)(info->fb_phys + (uint64_t)(y * FONT_HEIGHT + line) * info->fb_pitch) +
				  x * FONT_WIDTH;

		for (unsigned bit = 0; bit < FONT_WIDTH; bit++)
			pixel[bit] = glyph[line] & 0x80u >> bit ? INK : 0;
	}
}

static void clear_line(unsigned y)
{
	unsigned dirty = used[y];

	used[y] = 0;
	if (info->screen == BOOT_SCREEN_VGA_TEXT) {
		for (unsigned x = 0; x < dirty; x++)
			draw(x, y, ' ');
		return;
	}
	for (unsigned line = 0; line < FONT_HEIGHT; line++)
		memset((void *)(info->fb_phys + (uint64_t)(y * FONT_HEIGHT + line) * info->fb_pitch), 0,
		       4ull * dirty * FONT_WIDTH);
}

void screen_init(const struct boot_info *boot)
{
	info = boot;
	if (boot->screen == BOOT_SCREEN_VGA_TEXT) {
		columns = 80;
		rows = 25;
	} else if (boot->screen == BOOT_SCREEN_FRAMEBUFFER) {
		columns = boot->fb_width / FONT_WIDTH;
		rows = boot->fb_height / FONT_HEIGHT;
	}
	rows = rows < ROWS_MAX ? rows : ROWS_MAX;
	for (unsigned y = 0; y < rows; y++)
		used[y] = (uint16_t)columns; /* the firmware's */
	for (unsigned y = 0; rows && y < 2; y++)
		clear_line(y);
	if (boot->screen == BOOT_SCREEN_FRAMEBUFFER)
		print("howler: screen: %ux%u at 0x%lx\n", boot->fb_width, boot->fb_height, boot->fb_phys);
	else if (!rows)
		print("howler: screen: none: the firmware names no framebuffer of 32-bit pixels: read the serial line\n");
}

bool screen_there(void)
{
	return rows;
}

static void new_line(void)
{
	column = 0;
	row = (row + 1) % rows;
	clear_line((row + 1) % rows);
}

void screen_put(char c)
{
	if (c == '\n') {
		new_line();
		return;
	}
	if (column == columns)
		new_line();
	if (c > ' ')
		draw(column, row, c);
	if (c >= ' ')
		used[row] = ++column;
}
